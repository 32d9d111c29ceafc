import { MillraceError } from "../errors.js";
import { assertOptions } from "../sdk/assert-options.js";
import type { JsonObject } from "../sdk/json.js";
import { shown } from "../sdk/shown.js";
import { assertTls, type TlsOptions } from "../sdk/tls-options.js";
import { checkDataLoaderOptions, type DataLoaderOptions } from "./data-loader.js";
import { DistributedContext } from "./distributed/distributed-context.js";

/** Options of batchProcess. */
export interface BatchProcessOptions<T, B> {
	/** Records in a batch. A positive whole number; default 1. Python: `batch_size` */
	readonly batchSize?: number;
	/**
	 * Batches per worker for the whole trial; default all. One that is not positive, or beyond what there is,
	 * is ignored with a warning. Python: `max_batches`
	 */
	readonly maxBatches?: number;
	/** Batches per worker between two commits. A positive whole number; default 5. Python: `checkpoint_interval` */
	readonly checkpointInterval?: number;
	/** How records become batches. Python: `dataloader_kwargs` */
	readonly dataLoader?: DataLoaderOptions<T, B>;
	/** Which worker this is; default: what the environment says. Python: `distributed_context` */
	readonly distributed?: DistributedContext;
	/** The server's `host:port`; default: MILLRACE_SERVER, the server of the data directory, or an embedded one. */
	readonly server?: string;
	/** Whether to speak TLS to the server, and by which certificates; default: what MILLRACE_TLS… say, as for `Client`. */
	readonly tls?: boolean | TlsOptions;
	/** Hyperparameters, where this call makes the trial; a trial that exists has its own, which win. */
	readonly hparams?: JsonObject;
	/**
	 * How long a worker may wait for a batch that is being loaded, and how long a single processBatch may take, in
	 * seconds. What takes longer is taken for stuck: its records are named on stderr, the worker is killed, and the run
	 * has failed. Not covered are the constructor and setup of the processor, onCheckpointStart and onFinish.
	 * Default: for ever.
	 */
	readonly stepTimeout?: number;
	/** Whether models write ONNX Runtime's profile to the tensorboard path; default false. */
	readonly profile?: boolean;
	/**
	 * What becomes of an error of processBatch, of the data set or of collate; default "fail". "fail": the run fails.
	 * "skip": the records of the batch are processed one by one, those that fail alone are left out and listed by
	 * `trial.listErrors()`, and the run goes on.
	 */
	readonly onError?: OnError;
	/** With onError "skip": the most records of the trial that may be left out, on all ranks and in all runs; default any. */
	readonly maxErrors?: number;
}

/** What becomes of an error of the user's code. */
export type OnError = "fail" | "skip";

/** The options with their defaults. */
export interface BatchProcessSettings<T, B> {
	readonly batchSize: number;
	/** 0 for all. */
	readonly maxBatches: number;
	readonly checkpointInterval: number;
	readonly dataLoader: DataLoaderOptions<T, B>;
	readonly distributed: DistributedContext;
	readonly server: string | undefined;
	readonly tls: boolean | TlsOptions | undefined;
	readonly hparams: JsonObject;
	readonly stepTimeoutMs: number | undefined;
	readonly profile: boolean;
	readonly onError: OnError;
	/** Undefined for no limit. */
	readonly maxErrors: number | undefined;
}

/** The names of all options of batchProcess. */
export const optionNames = [
	"batchSize",
	"maxBatches",
	"checkpointInterval",
	"dataLoader",
	"distributed",
	"server",
	"tls",
	"hparams",
	"stepTimeout",
	"profile",
	"onError",
	"maxErrors",
] as const;

/** Python names, with what to do instead. */
const hints: Readonly<Record<string, string>> = {
	batch_size: "it is batchSize here",
	max_batches: "it is maxBatches here",
	checkpoint_interval: "it is checkpointInterval here",
	dataloader_kwargs: "it is dataLoader here",
	distributed_context: "it is distributed here",
};

/**
 * Checks the options and fills in the defaults.
 *
 * Throws `invalid_argument` naming the option and its value.
 */
export function checkOptions<T, B>(options: BatchProcessOptions<T, B>): BatchProcessSettings<T, B> {
	assertOptions(options, "batchProcess", "batchSize");
	for (const key of Object.keys(options).filter((name) => !optionNames.some((known) => known === name))) {
		const hint = hints[key];
		throw new MillraceError(
			"invalid_argument",
			`unknown option ${key} of batchProcess${hint === undefined ? `; it has ${optionNames.join(", ")}` : `: ${hint}`}`,
		);
	}
	checkDataLoaderOptions(options.dataLoader);
	assertTls(options.tls);
	return {
		batchSize: positive("batchSize", options.batchSize ?? 1),
		maxBatches: maxBatchesOf(options.maxBatches),
		checkpointInterval: positive("checkpointInterval", options.checkpointInterval ?? 5),
		dataLoader: options.dataLoader ?? {},
		distributed: options.distributed ?? DistributedContext.fromEnvironment(),
		server: options.server,
		tls: options.tls,
		hparams: options.hparams ?? {},
		stepTimeoutMs: stepTimeoutMsOf(options.stepTimeout),
		profile: options.profile ?? false,
		...errorPolicyOf(options),
	};
}

/** The largest count that fits the wire. */
const maxCount = 2 ** 31 - 1;

function positive(name: string, value: number): number {
	if (!Number.isInteger(value) || value < 1 || value > maxCount) {
		throw new MillraceError("invalid_argument", `${name} is ${shown(value)}; it must be a whole number of at least 1`);
	}
	return value;
}

function stepTimeoutMsOf(seconds: number | undefined): number | undefined {
	if (seconds === undefined) {
		return undefined;
	}
	if (typeof seconds !== "number" || !(seconds > 0) || !Number.isFinite(seconds)) {
		const rule = "it must be a positive number of seconds";
		throw new MillraceError("invalid_argument", `stepTimeout is ${shown(seconds)}; ${rule}`);
	}
	return seconds * 1000;
}

function errorPolicyOf({ onError = "fail", maxErrors }: { onError?: OnError; maxErrors?: number }) {
	if (onError !== "fail" && onError !== "skip") {
		throw new MillraceError("invalid_argument", `onError is ${shown(onError)}; it must be "fail" or "skip"`);
	}
	if (maxErrors !== undefined && !(Number.isSafeInteger(maxErrors) && maxErrors >= 0)) {
		throw new MillraceError(
			"invalid_argument",
			`maxErrors is ${shown(maxErrors)}; it must be a whole number of at least 0, or left out for no limit`,
		);
	}
	if (maxErrors !== undefined && onError === "fail") {
		throw new MillraceError("invalid_argument", `maxErrors is ${maxErrors}; it needs onError "skip"`);
	}
	return { onError, maxErrors };
}

function maxBatchesOf(value: number | undefined): number {
	if (value === undefined) {
		return 0;
	}
	if (typeof value !== "number" || Number.isNaN(value) || (value > 0 && !Number.isInteger(value))) {
		throw new MillraceError("invalid_argument", `maxBatches is ${shown(value)}; it must be a whole number`);
	}
	if (value <= 0) {
		console.warn(`millrace: maxBatches is ${value}, which is not positive; it is ignored`);
		return 0;
	}
	return value;
}
