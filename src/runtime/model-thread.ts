import { access, mkdir } from "node:fs/promises";
import path from "node:path";
import { parentPort, workerData } from "node:worker_threads";
import type { InferenceSession } from "onnxruntime-node";
import { type ErrorCode, isMillraceError, MillraceError, messageOf } from "../errors.js";
import { guarded } from "./native-call-guard.js";
import type { Tensor, TensorType } from "./tensor.js";

/** What the thread of one model is started with. */
export interface ModelThreadData {
	/** How messages call the model. */
	readonly name: string;
	/** The ONNX file's path or content. */
	readonly model: string | Uint8Array;
	/** The number of threads that compute one inference. */
	readonly threads: number | undefined;
	/** Where ONNX Runtime's trace is written; undefined for none. */
	readonly profileDirectory: string | undefined;
	/** See native-call-guard.ts. */
	readonly guard: Int32Array;
}

/** An input or output of a model. */
export interface ModelValueInfo {
	readonly name: string;
	readonly type: TensorType;
	/** The dimensions; one that is not fixed is its name, which may be empty. An empty shape may be unknown. */
	readonly shape: readonly (number | string)[];
}

/** What the thread is asked. Runs are computed one after another, in their order. */
export type ModelThreadRequest =
	| { readonly kind: "run"; readonly id: number; readonly inputs: Readonly<Record<string, Tensor>> }
	| { readonly kind: "end" };

/** What the thread says: `loaded` or `failed` once, then an answer for each run, and `ended` as the last. */
export type ModelThreadEvent =
	| { readonly kind: "loaded"; readonly inputs: readonly ModelValueInfo[]; readonly outputs: readonly ModelValueInfo[] }
	| { readonly kind: "failed"; readonly code: ErrorCode; readonly message: string }
	| { readonly kind: "result"; readonly id: number; readonly outputs: Record<string, Tensor> }
	| { readonly kind: "error"; readonly id: number; readonly message: string }
	| { readonly kind: "ended" };

type Ort = typeof import("onnxruntime-node");

if (parentPort === null) throw new Error("model-thread is the entry of a worker thread");
const port = parentPort;

function say(event: ModelThreadEvent, transfer: ArrayBuffer[] = []): void {
	port.postMessage(event, transfer);
}

async function importOrt(): Promise<Ort> {
	try {
		return await import("onnxruntime-node");
	} catch (error) {
		const isMissing = error instanceof Error && "code" in error && error.code === "ERR_MODULE_NOT_FOUND";
		throw new MillraceError(
			"failed_precondition",
			isMissing
				? "models need the package onnxruntime-node: npm install onnxruntime-node"
				: `the package onnxruntime-node cannot be loaded: ${messageOf(error)}`,
		);
	}
}

async function createSession(ort: Ort, data: ModelThreadData): Promise<InferenceSession> {
	const { name, model, threads, profileDirectory } = data;
	const options: InferenceSession.SessionOptions = { executionProviders: ["cpu"] };
	if (threads !== undefined) options.intraOpNumThreads = threads;
	if (profileDirectory !== undefined) {
		await mkdir(profileDirectory, { recursive: true });
		options.enableProfiling = true;
		options.profileFilePrefix = path.join(profileDirectory, path.basename(name, ".onnx"));
	}
	if (typeof model !== "string") {
		return refusing(name, () => ort.InferenceSession.create(model, options));
	}
	await access(model).catch(() => {
		throw new MillraceError("not_found", `model file ${model} not found`);
	});
	return refusing(model, () => ort.InferenceSession.create(model, options));
}

async function refusing(name: string, create: () => Promise<InferenceSession>): Promise<InferenceSession> {
	try {
		return await create();
	} catch (error) {
		throw new MillraceError(
			"invalid_argument",
			`${name} is no ONNX model, or none that ONNX Runtime can load: ${messageOf(error)}`,
		);
	}
}

/** Sequences and maps are left out: ONNX Runtime's Node binding cannot pass them. */
function tensorInfos(values: readonly InferenceSession.ValueMetadata[]): ModelValueInfo[] {
	return values.flatMap((value) =>
		value.isTensor ? [{ name: value.name, type: value.type as TensorType, shape: [...value.shape] }] : [],
	);
}

async function run(
	ort: Ort,
	session: InferenceSession,
	outputNames: readonly string[],
	request: Extract<ModelThreadRequest, { kind: "run" }>,
): Promise<void> {
	try {
		const feeds = Object.fromEntries(
			Object.entries(request.inputs).map(([name, { type, data, dims }]) => [
				name,
				new ort.Tensor(type as "float32", data as Float32Array, dims),
			]),
		);
		const results = await session.run(feeds, outputNames);
		const buffers = new Set<ArrayBuffer>();
		const outputs: Record<string, Tensor> = {};
		for (const [name, { type, dims, data: raw }] of Object.entries(results)) {
			const data = type === "float16" ? rawBits(raw as Uint16Array) : raw;
			if (ArrayBuffer.isView(data)) buffers.add(data.buffer as ArrayBuffer);
			outputs[name] = { type, dims, data } as unknown as Tensor;
		}
		say({ kind: "result", id: request.id, outputs }, [...buffers]);
	} catch (error) {
		say({ kind: "error", id: request.id, message: messageOf(error) });
	}
}

/** Newer Node versions have a Float16Array, which ONNX Runtime then uses. */
function rawBits(data: Uint16Array): Uint16Array {
	return new Uint16Array(data.buffer, data.byteOffset, data.length);
}

async function serve(data: ModelThreadData): Promise<void> {
	const ort = await importOrt();
	const session = await guarded(data.guard, () => createSession(ort, data));
	const inputs = tensorInfos(session.inputMetadata);
	const outputs = tensorInfos(session.outputMetadata);
	if (inputs.length < session.inputNames.length) {
		throw new MillraceError("invalid_argument", `${data.name} has an input that is no tensor, which cannot be given`);
	}
	const outputNames = outputs.map((output) => output.name);
	let last: Promise<void> = Promise.resolve();
	port.on("message", (request: ModelThreadRequest) => {
		if (request.kind === "run") {
			last = last.then(() => guarded(data.guard, () => run(ort, session, outputNames, request)));
			return;
		}
		last = last.then(async () => {
			await guarded(data.guard, async () => {
				if (data.profileDirectory !== undefined) session.endProfiling();
				await session.release();
			});
			say({ kind: "ended" });
			port.close();
		});
	});
	say({ kind: "loaded", inputs, outputs });
}

serve(workerData as ModelThreadData).catch((error: unknown) => {
	const code = isMillraceError(error) ? error.code : "internal";
	say({ kind: "failed", code, message: messageOf(error) });
	port.close();
});
