import type { StepName } from "../../src/steps.js";

/** What may happen in a round, and who does it. */
export const faultKinds = {
	/** The worker does it to itself. */
	"worker-kill": "worker",
	"worker-throw": "worker",
	"worker-exit": "worker",
	"worker-memory": "worker",
	/** SIGSTOP; the round wakes it again after `ms`. */
	"worker-freeze": "worker",
	/** The worker kills its parent. */
	"launcher-kill": "worker",
	/** The server does it to itself, and is started again after `ms`. */
	"server-die": "server",
	/** The round does these; the worker waits until it has. */
	"run-kill": "round",
	"run-term": "round",
	"server-kill": "round",
	"server-term": "round",
	/** The worker's connections are broken, and none is let through for `ms`. */
	"net-cut": "round",
	/** Nothing comes through between the worker and the server for `ms`; no end notices by itself. */
	"net-silence": "round",
	pause: "round",
} as const;

/** The name of a fault. */
export type FaultKind = keyof typeof faultKinds;

/** Where in a worker's own code a fault may happen, beside the steps that the runtime names. */
export type UserStep = "setup" | "batch" | "checkpoint-start" | "on-finish";

/** One fault of a round. It can happen once those before it in the plan have. */
export interface FaultPlan {
	readonly kind: FaultKind;
	/** The rank that it happens to, or that is at the step when it happens; taken modulo the number of workers. */
	readonly rank: number;
	readonly step: UserStep | StepName;
	/** How often the process must have been at the step since it could happen; from 1. */
	readonly occurrence: number;
	/** The part of all records that must come before the worker's last one. From 0 to below 1. */
	readonly progress: number;
	/** How long it lasts, in milliseconds, where it ends by itself. */
	readonly ms: number;
}

/** Who starts the workers: `millrace run`, `millrace launch` by itself, or the round, as a cluster would. */
export type LegKind = "run" | "launch" | "bare";

/** The workers of a trial from one start to their end. */
export interface LegPlan {
	readonly kind: LegKind;
	readonly workers: number;
	/** The options of its runs, which take turns. */
	readonly options: readonly { readonly batchSize: number; readonly checkpointInterval: number }[];
}

/** One trial, and what happens to it. */
export interface RoundPlan {
	readonly name: string;
	/** The flags of `npm run chaos` that play it again. */
	readonly again: string;
	readonly server: "standalone" | "embedded";
	/** How long the server waits for a worker that is silent. */
	readonly leaseSeconds: number;
	/** The data set: record i is (i * factor + offset) % modulus. */
	readonly data: {
		readonly records: number;
		readonly factor: number;
		readonly offset: number;
		readonly modulus: number;
	};
	/** The records whose batch throws, which are skipped; if there are any, no two follow each other. */
	readonly badRecords: readonly number[];
	/** Whether a worker writes its outputs after each batch or before each commit. */
	readonly writes: "batch" | "commit";
	/** Whether all outputs of a part go to one file that grows, or to a new one each time. */
	readonly files: "growing" | "new";
	/** Whether the workers run a model, or compute the same without one, which starts faster. */
	readonly usesModel: boolean;
	/** Whether the workers gather something in onCheckpointStart. */
	readonly gathers: boolean;
	/** One after the other until the trial is done; the last one is repeated. */
	readonly legs: readonly LegPlan[];
	readonly faults: readonly FaultPlan[];
}
