import { durationText } from "../duration-text.js";
import type { TrialActivity, WorkerActivity, WorkerWait } from "./trial-activity.js";

/** A worker, before it is put into words. */
export type SeenWorker = Omit<WorkerActivity, "message">;

/** What a trial does, before it is put into words. */
export type SeenActivity = Omit<TrialActivity, "message" | "workers"> & { readonly workers: readonly SeenWorker[] };

/** Where a worker is. `seconds` is null where it is so short that it may have gone on since it last told. */
export type WorkerPlace =
	/** Of a run that is forming. */
	| { readonly kind: "joined" }
	/** It has not come back to a server that was started again. */
	| { readonly kind: "absent" }
	| { readonly kind: "disconnected" }
	| { readonly kind: "silent"; readonly seconds: number }
	| { readonly kind: "waiting"; readonly wait: WorkerWait }
	| {
			readonly kind: "batch";
			readonly what: "loading" | "processing";
			readonly records: string;
			readonly seconds: number | null;
	  }
	| {
			readonly kind: "idle";
			readonly what: "setting up" | "between two batches" | "finishing";
			readonly seconds: number | null;
	  }
	| { readonly kind: "finished" }
	/** More is not known. */
	| { readonly kind: "running" };

/** How old what a worker told may be, in seconds, while all is well. */
export function lagSeconds({ leaseSeconds }: Pick<SeenActivity, "leaseSeconds">): number {
	return Math.min(leaseSeconds / 5, 3);
}

/** For how long a worker that is well may seem silent, in seconds. */
function silenceSeconds({ leaseSeconds }: SeenActivity): number {
	return Math.min(leaseSeconds / 3, 5);
}

/** How long before the moment of an activity a time was, in whole seconds. */
export function secondsSince({ time }: Pick<SeenActivity, "time">, since: Date): number {
	return Math.max(0, Math.floor((time.getTime() - since.getTime()) / 1_000));
}

/** Tells whether all records of a trial that has some are done, or have failed. */
export function isAllDone({ recordsDone, recordsFailed, recordsTotal }: SeenActivity): boolean {
	return recordsTotal > 0 && recordsDone + recordsFailed >= recordsTotal;
}

/** Tells where a worker is. */
export function placeOf(worker: SeenWorker, activity: SeenActivity): WorkerPlace {
	const { rank, connected, heardTime, finished } = worker;
	if (activity.run?.state === "FORMING") {
		return { kind: "joined" };
	}
	if (heardTime === null) {
		return { kind: "absent" };
	}
	if (!connected) {
		return { kind: "disconnected" };
	}
	if (activity.time.getTime() - heardTime.getTime() >= silenceSeconds(activity) * 1_000) {
		return { kind: "silent", seconds: secondsSince(activity, heardTime) };
	}
	const wait = activity.waits.find(({ waitingRanks }) => waitingRanks.includes(rank));
	if (wait !== undefined) {
		return { kind: "waiting", wait };
	}
	return finished ? { kind: "finished" } : workOf(worker, activity);
}

function workOf(worker: SeenWorker, activity: SeenActivity): WorkerPlace {
	const { toldTime, unchangedSince, inFlight, lastCommitTime, step } = worker;
	if (toldTime === null || unchangedSince === null) {
		return { kind: "running" };
	}
	const isLong = toldTime.getTime() - unchangedSince.getTime() >= lagSeconds(activity) * 1_000;
	const seconds = isLong ? secondsSince(activity, unchangedSince) : null;
	if (inFlight !== null) {
		if (lastCommitTime !== null && lastCommitTime > toldTime) {
			// These records are behind it.
			return { kind: "running" };
		}
		const { first, end } = inFlight;
		const records = end - first === 1 ? `record ${first}` : `records ${first} to ${end - 1}`;
		return { kind: "batch", what: worker.loading ? "loading" : "processing", records, seconds };
	}
	if (activity.recordsTotal === 0) {
		// A program with a loop of its own tells nothing of its steps.
		return { kind: "running" };
	}
	const hasBegun = step > 0 || lastCommitTime !== null;
	const what = isAllDone(activity) ? "finishing" : hasBegun ? "between two batches" : "setting up";
	return { kind: "idle", what, seconds };
}

/** Says where a worker is, in a few words, as in "processing records 640 to 703 for 41 s". */
export function workerMessage(worker: SeenWorker, activity: SeenActivity): string {
	const place = placeOf(worker, activity);
	const { what, seconds } = placeWords(place, activity);
	const limit = place.kind === "silent" ? `, lost after ${durationText(Math.ceil(activity.leaseSeconds))}` : "";
	return `${what}${seconds === null ? "" : ` for ${durationText(seconds)}`}${limit}`;
}

/** Says what a worker does there, and for how many seconds; null where that is not known. */
export function placeWords(place: WorkerPlace, activity: SeenActivity): { what: string; seconds: number | null } {
	switch (place.kind) {
		case "joined":
		case "finished":
		case "running":
			return { what: place.kind, seconds: null };
		case "absent":
			return { what: "has not come back", seconds: null };
		case "disconnected":
			return { what: "has lost its connection", seconds: null };
		case "silent":
			return { what: "silent", seconds: place.seconds };
		case "waiting":
			return { what: `waits ${whereText(place.wait, activity)}`, seconds: secondsSince(activity, place.wait.since) };
		case "batch":
			return { what: `${place.what} ${place.records}`, seconds: place.seconds };
		case "idle":
			return { what: place.what, seconds: place.seconds };
	}
}

/** Says in which operation workers wait, as in "at the commit of step 10". */
export function whereText(
	{ caller, scope, nodeRank, operation, waitingRanks }: WorkerWait,
	{ workers }: SeenActivity,
): string {
	const step = Math.max(
		0,
		...workers.flatMap(({ rank, lastCommitStep }) => (waitingRanks.includes(rank) ? [lastCommitStep] : [])),
	);
	switch (operation) {
		case "step":
			return step === 0 ? "to stop together" : `at the commit of step ${step}`;
		case "finish":
			return "at the end of the run";
		default: {
			const name = `${operation === "allgather" ? "an" : "a"} ${operation}`;
			const whose = caller === "user" ? "the user's code" : "the runtime";
			return `in ${name} of ${whose}${scope === "node" ? ` on node ${nodeRank}` : ""}`;
		}
	}
}
