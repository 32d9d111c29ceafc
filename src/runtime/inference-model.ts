import type { Worker } from "node:worker_threads";
import { isMillraceError, MillraceError, messageOf } from "../errors.js";
import { assertInputs, type ModelInputs } from "./model-inputs.js";
import { type ModelSource, openModelSource } from "./model-source.js";
import type { ModelThreadEvent, ModelThreadRequest, ModelValueInfo } from "./model-thread.js";
import { startModelThread } from "./model-thread-worker.js";
import type { Tensor } from "./tensor.js";

/** The options of prepareModelForInference. */
export interface PrepareModelOptions {
	/** The ONNX file of a checkpoint or model version. Default: the only *.onnx file in it. */
	file?: string | undefined;
	/** The number of threads that compute one inference. Default: the number of cores / local world size. */
	threads?: number | undefined;
	/** Whether ONNX Runtime writes its trace to the tensorboard path. Default: the option of batchProcess. */
	profile?: boolean | undefined;
}

/** How a model is loaded. */
export interface InferenceModelOptions {
	/** As in PrepareModelOptions. */
	file?: string | undefined;
	/** The number of threads that compute one inference. Default: ONNX Runtime's. */
	threads?: number | undefined;
	/** Where ONNX Runtime's trace is written when the model is closed. Default: no trace. */
	profileDirectory?: string | PromiseLike<string> | undefined;
}

/** How inputs reach the model's thread. */
export interface RunOptions {
	/**
	 * Moves the inputs instead of copying them: faster for large ones, but their arrays are empty afterwards.
	 * An array that is a part of a larger buffer is copied nevertheless. Default false.
	 */
	transfer?: boolean | undefined;
}

/** What a model is run with: a tensor for each input, or the tensor of its only input. */
export type ModelInput = Tensor | ModelInputs;

interface WaitingRun {
	resolve(outputs: Record<string, Tensor>): void;
	reject(error: Error): void;
}

/**
 * A model in a thread of its own, so that the worker's event loop goes on while it computes.
 * Python: the result of prepare_model_for_inference
 */
export class InferenceModel {
	/** The ONNX execution provider in use. */
	readonly device = "cpu";
	/** How messages call the model: its file's name. */
	get name(): string {
		return this.#name;
	}
	/**
	 * Settles when the model is loaded.
	 *
	 * Errors: not_found if there is no such file; invalid_argument if it is no ONNX model, or which file of
	 * a checkpoint is meant is not clear; failed_precondition if onnxruntime-node is not installed.
	 */
	readonly loaded: Promise<void>;

	#name = "the model";
	#inputs: readonly ModelValueInfo[] | undefined;
	#outputs: readonly ModelValueInfo[] | undefined;
	#thread: Worker | undefined;
	/** Why no run is possible any more. */
	#failure: MillraceError | undefined;
	#closing: Promise<void> | undefined;
	/** Where the model was made: the stack of the thread's messages leads nowhere. */
	readonly #made = { stack: "" };
	#lastId = 0;
	readonly #waiting = new Map<number, WaitingRun>();

	/** Begins to load the model. */
	constructor(source: ModelSource, options: InferenceModelOptions = {}) {
		Error.captureStackTrace(this.#made, InferenceModel);
		this.loaded = this.#load(source, options);
		// Who awaits `loaded` or a run sees the error; who does neither is not to be ended by it.
		this.loaded.catch(() => {});
	}

	/** The inputs. Error: failed_precondition until the model is loaded. */
	get inputs(): readonly ModelValueInfo[] {
		return this.#inputs ?? this.#notLoaded("inputs");
	}

	/** The outputs that are tensors. Error: failed_precondition until the model is loaded. */
	get outputs(): readonly ModelValueInfo[] {
		return this.#outputs ?? this.#notLoaded("outputs");
	}

	/**
	 * Computes the outputs for one set of inputs: a tensor for each input name, or a single tensor for a model
	 * with one input. The inputs are copied before it returns, unless `transfer` is set. Several runs may be
	 * under way; they are computed in their order.
	 *
	 * Errors: invalid_argument for inputs that the model does not take, with the wanted and the given type
	 * and shape; failed_precondition after close(); `unknown` if ONNX Runtime fails; `internal` if the
	 * thread died; and those of `loaded`.
	 */
	async run(input: ModelInput, options: RunOptions = {}): Promise<Record<string, Tensor>> {
		if (this.#closing !== undefined) throw closed(this.#name);
		let given = input;
		let isOwn = options.transfer ?? false;
		if (this.#inputs === undefined) {
			// The caller may change the arrays while the model is loading.
			if (!isOwn) given = structuredClone(input);
			isOwn = true;
			await this.loaded;
		}
		const inputs = assertInputs(this.#name, this.inputs, given);
		if (this.#failure !== undefined) throw this.#failure;
		const { message, buffers } = isOwn ? moved(inputs) : copied(inputs);
		const id = ++this.#lastId;
		const outputs = new Promise<Record<string, Tensor>>((resolve, reject) => {
			this.#send({ kind: "run", id, inputs: message }, buffers);
			this.#waiting.set(id, { resolve, reject });
			this.#thread?.ref();
		});
		try {
			return await outputs;
		} catch (error) {
			// Made anew, so that its stack leads to who awaits this run.
			throw isMillraceError(error) ? new MillraceError(error.code, error.message, causeOf(error)) : error;
		}
	}

	/** Waits for the runs under way, writes the trace, releases the model, and ends its thread. May be called again. */
	close(): Promise<void> {
		this.#closing ??= this.#close();
		return this.#closing;
	}

	async #load(source: ModelSource, options: InferenceModelOptions): Promise<void> {
		try {
			const { threads } = options;
			assertThreads(threads);
			const profileDirectory = await options.profileDirectory;
			const { name, model, release } = await openModelSource(source, options.file);
			this.#name = name;
			this.#thread = startModelThread({ name, model, threads, profileDirectory });
			await this.#listen(this.#thread).finally(release);
			// An idle model must not keep the process alive; a run under way does.
			this.#thread.unref();
		} catch (error) {
			this.#fail(isMillraceError(error) ? error : new MillraceError("internal", messageOf(error), { cause: error }));
			const failure = this.#failure ?? error;
			if (failure instanceof Error) {
				failure.stack = `${failure.name}: ${failure.message}${this.#made.stack.replace(/^[^\n]*/, "")}`;
			}
			throw failure;
		}
	}

	/** Resolves when the model is loaded. */
	#listen(thread: Worker): Promise<void> {
		return new Promise((resolve, reject) => {
			const fail = (failure: MillraceError) => {
				this.#fail(failure);
				reject(failure);
			};
			thread.on("message", (event: ModelThreadEvent) => {
				if (event.kind === "loaded") {
					this.#inputs = event.inputs;
					this.#outputs = event.outputs;
					resolve();
				} else if (event.kind === "failed") {
					fail(new MillraceError(event.code, event.message));
				} else this.#receive(event);
			});
			thread.on("error", (error) => fail(this.#died(messageOf(error))));
			thread.on("exit", (code) => {
				fail(this.#closing === undefined ? this.#died(`exit code ${code}`) : closed(this.#name));
			});
		});
	}

	#receive(event: Extract<ModelThreadEvent, { kind: "result" | "error" | "ended" }>): void {
		if (event.kind === "ended") return;
		const run = this.#waiting.get(event.id);
		this.#waiting.delete(event.id);
		if (this.#waiting.size === 0 && this.#closing === undefined) this.#thread?.unref();
		if (event.kind === "result") run?.resolve(event.outputs);
		else run?.reject(new MillraceError("unknown", `${this.#name} could not be run: ${event.message}`));
	}

	async #close(): Promise<void> {
		await this.loaded.catch(() => {});
		const thread = this.#thread;
		if (thread === undefined || this.#failure !== undefined) return;
		thread.ref();
		const exited = new Promise((resolve) => thread.once("exit", resolve));
		this.#send({ kind: "end" });
		await exited;
	}

	#send(request: ModelThreadRequest, transfer: ArrayBuffer[] = []): void {
		this.#thread?.postMessage(request, transfer);
	}

	/** The first failure counts: the end of the thread follows it. */
	#fail(failure: MillraceError): void {
		this.#failure ??= failure;
		for (const run of this.#waiting.values()) run.reject(this.#failure);
		this.#waiting.clear();
	}

	#died(how: string): MillraceError {
		return new MillraceError("internal", `the thread of ${this.#name} ended unexpectedly: ${how}`);
	}

	#notLoaded(what: string): never {
		if (isMillraceError(this.#failure)) throw this.#failure;
		throw new MillraceError(
			"failed_precondition",
			`the ${what} of ${this.#name} are known when it is loaded: await loaded`,
		);
	}
}

function assertThreads(threads: number | undefined): void {
	if (threads === undefined || (Number.isSafeInteger(threads) && threads > 0)) return;
	throw new MillraceError("invalid_argument", `threads is ${String(threads)}: it must be a positive integer`);
}

function causeOf({ cause }: Error): { cause?: unknown } {
	return cause === undefined ? {} : { cause };
}

function closed(name: string): MillraceError {
	return new MillraceError("failed_precondition", `${name} is closed`);
}

interface Outgoing {
	readonly message: Record<string, Tensor>;
	readonly buffers: ArrayBuffer[];
}

function moved(inputs: ModelInputs): Outgoing {
	const buffers = new Set<ArrayBuffer>();
	const message = mapData(inputs, (data) => {
		const { buffer } = data;
		const isWhole = buffer instanceof ArrayBuffer && buffer.byteLength === data.byteLength;
		const own = isWhole ? data : data.slice();
		buffers.add(own.buffer as ArrayBuffer);
		return own;
	});
	return { message, buffers: [...buffers] };
}

/** Copies once and moves the copy: a structured clone would take a view's whole buffer along. */
function copied(inputs: ModelInputs): Outgoing {
	const buffers: ArrayBuffer[] = [];
	const message = mapData(inputs, (data) => {
		// Buffer.slice would be a view.
		const copy = data instanceof Uint8Array ? new Uint8Array(data) : data.slice();
		buffers.push(copy.buffer as ArrayBuffer);
		return copy;
	});
	return { message, buffers };
}

type NumericData = Exclude<Tensor["data"], readonly string[]>;

function mapData(inputs: ModelInputs, map: (data: NumericData) => NumericData): Record<string, Tensor> {
	return Object.fromEntries(
		Object.entries(inputs).map(([name, { type, dims, data }]) => [
			name,
			{ type, dims: [...dims], data: ArrayBuffer.isView(data) ? map(data as NumericData) : [...data] } as Tensor,
		]),
	);
}
