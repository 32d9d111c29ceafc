import { durationText } from "../duration-text.js";
import { inWords, rankList } from "./rank-list.js";
import type { TrialRun, WorkerWait } from "./trial-activity.js";
import {
	isAllDone,
	lagSeconds,
	placeOf,
	type SeenActivity,
	type SeenWorker,
	secondsSince,
	type WorkerPlace,
	whereText,
} from "./worker-message.js";

/** Says what a trial is doing: who is waited for, or why nothing happens. */
export function activityMessage(activity: SeenActivity): string {
	const { run } = activity;
	if (run === null || (run.state !== "FORMING" && run.state !== "RUNNING")) {
		return closedText(activity);
	}
	const asked = askedText(activity, run);
	return openText(activity, run) + (asked === undefined ? "" : `; ${asked}`);
}

function closedText(activity: SeenActivity): string {
	const { state, run, trialId, recordsFailed } = activity;
	const goOn = `\`millrace run CONFIG --trial ${trialId}\``;
	const why = run === null || run.reason === "" ? "" : `: ${run.reason}`;
	switch (state) {
		case "COMPLETED": {
			const failed = recordsFailed === 1 ? "1 record failed and was" : `${recordsFailed} records failed and were`;
			const errors = `; ${failed} skipped: see \`millrace trial errors ${trialId}\``;
			return `the trial is completed${recordsFailed === 0 ? "" : errors}`;
		}
		case "CANCELED":
			if (run?.state === "FAILED") {
				return `the trial was canceled; its last run failed${why}`;
			}
			return `the trial was ${run?.state === "KILLED" ? "killed" : "canceled"}${why}`;
		case "ERROR":
			return `the trial has failed${why}`;
		case "PAUSED":
			return `the trial is paused; ${goOn} goes on with it`;
	}
	switch (run?.state) {
		case undefined:
			return `the trial waits for workers; ${goOn} starts them`;
		case "FAILED":
			return `run ${run.trialRunId} failed${why}; the trial waits for its next run, which ${goOn} starts`;
		case "PREEMPTED":
			return `run ${run.trialRunId} was preempted${why}; ${goOn} goes on`;
		default:
			return `records that failed are to be processed again, by ${goOn}`;
	}
}

function askedText(
	{ pauseRequested, cancelRequested }: SeenActivity,
	{ preemptRequested }: TrialRun,
): string | undefined {
	if (cancelRequested) {
		return "the trial is to be canceled, at its next commit";
	}
	if (pauseRequested) {
		return "the trial is to pause, at its next commit";
	}
	return preemptRequested ? "the run is to stop, at its next commit" : undefined;
}

function openText(activity: SeenActivity, run: TrialRun): string {
	const { workers, joinDeadline } = activity;
	const { trialRunId, worldSize } = run;
	if (worldSize === 0) {
		return `run ${trialRunId} is that of a script, which has no workers`;
	}
	const isForming = run.state === "FORMING";
	const there = workers.filter((worker) => isForming || worker.heardTime !== null);
	if (there.length < worldSize) {
		const ranks = new Set(there.map(({ rank }) => rank));
		const absent = rankList(Array.from({ length: worldSize }, (_, rank) => rank).filter((rank) => !ranks.has(rank)));
		const left =
			joinDeadline === null ? 0 : Math.max(0, Math.ceil((joinDeadline.getTime() - activity.time.getTime()) / 1_000));
		const limit = joinDeadline === null ? "" : `, for at most ${durationText(left)}`;
		if (!isForming) {
			return `the server waits for ${absent} of ${worldSize} to come back to it${limit}`;
		}
		return there.length === 0
			? `run ${trialRunId} waits for its ${workersText(worldSize)}${limit}`
			: `${there.length} of ${worldSize} workers have joined run ${trialRunId}, which waits for ${absent}${limit}`;
	}
	if (isForming) {
		return `run ${trialRunId} starts`;
	}
	return waitingText(activity) ?? quietText(activity);
}

function workersText(count: number): string {
	return count === 1 ? "worker" : `${count} workers`;
}

interface Placed {
	readonly worker: SeenWorker;
	readonly place: WorkerPlace;
}

/** Says who is waited for, if somebody is for so long that it is worth a word, and who is in trouble. */
function waitingText(activity: SeenActivity): string | undefined {
	const placed = activity.workers.map((worker): Placed => ({ worker, place: placeOf(worker, activity) }));
	const troubled = placed.filter(({ place }) => place.kind === "silent" || place.kind === "disconnected");
	const waits = activity.waits.filter(
		({ since }) => troubled.length > 0 || activity.time.getTime() - since.getTime() >= lagSeconds(activity) * 1_000,
	);
	const culprits = placed.filter(
		({ worker, place }) =>
			place.kind !== "waiting" && waits.some(({ missingRanks }) => missingRanks.includes(worker.rank)),
	);
	const others = troubled.filter((one) => !culprits.includes(one));
	if (culprits.length === 0 && others.length === 0) {
		return waits.length === 0 ? undefined : stuckText(waits, activity);
	}
	const isTimed = culprits.some(
		({ place }) => place.kind !== "running" && !("seconds" in place && place.seconds === null),
	);
	const clauses = waits
		.filter(({ missingRanks }) => missingRanks.length > 0)
		.map((wait) => waitClause(wait, activity, { pronoun: culprits.length === 1 ? "it" : "them", isTimed }));
	return [...culpritClauses(culprits, activity), ...clauses, ...others.map((one) => culpritText(one, activity))].join(
		"; ",
	);
}

function waitClause(
	wait: WorkerWait,
	activity: SeenActivity,
	{ pronoun, isTimed }: { pronoun: string; isTimed: boolean },
): string {
	const { waitingRanks, since } = wait;
	const isOne = waitingRanks.length === 1;
	const verb = isTimed
		? `${isOne ? "waits" : "wait"} for ${pronoun}`
		: `${isOne ? "has" : "have"} waited for ${pronoun} for ${durationText(secondsSince(activity, since))}`;
	return `${rankList(waitingRanks)} ${verb} ${whereText(wait, activity)}`;
}

/** Nobody is waited for who does not wait too: the server has all contributions, or is about to end the run. */
function stuckText(waits: readonly WorkerWait[], activity: SeenActivity): string {
	const places = waits.map((wait) => `${rankList(wait.waitingRanks)} ${whereText(wait, activity)}`);
	const isComplete = waits.every(({ missingRanks }) => missingRanks.length === 0);
	return `${isComplete ? "the server records what all have told" : "all workers wait for each other"}: ${inWords(places)}`;
}

/** How many of those who are waited for are described; the rest is counted. */
const described = 2;

function culpritClauses(culprits: readonly Placed[], activity: SeenActivity): string[] {
	// Those who are in the way the longest come first.
	const sorted = [...culprits].sort((a, b) => weight(b.place) - weight(a.place));
	const named = sorted.length > described + 1 ? sorted.slice(0, described) : sorted;
	const rest = sorted.slice(named.length).map(({ worker: { rank } }) => rank);
	const clauses = named.map((one) => culpritText(one, activity));
	return rest.length === 0 ? clauses : [...clauses, `${rankList(rest.sort((a, b) => a - b))} are still at work too`];
}

function weight(place: WorkerPlace): number {
	switch (place.kind) {
		case "disconnected":
		case "silent":
			return Number.MAX_SAFE_INTEGER;
		default:
			return "seconds" in place ? (place.seconds ?? 0) : 0;
	}
}

/** Says what a worker is at that others wait for. */
function culpritText({ worker, place }: Placed, activity: SeenActivity): string {
	const name = nameOf(worker);
	switch (place.kind) {
		case "silent": {
			const lease = durationText(Math.ceil(activity.leaseSeconds));
			return `${name} has been silent for ${durationText(place.seconds)}, and is lost after ${lease}`;
		}
		case "disconnected":
			return `${name} has lost its connection`;
		case "batch":
			return place.seconds === null
				? `${name} was ${place.what} ${place.records} a moment ago`
				: `${name} has been ${place.what} ${place.records} for ${durationText(place.seconds)}`;
		case "idle":
			return place.seconds === null
				? `${name} is ${place.what}`
				: `${name} has been ${place.what} for ${durationText(place.seconds)}`;
		default:
			return `${name} is still at work`;
	}
}

function nameOf({ rank, host }: SeenWorker): string {
	return host === "" ? `rank ${rank}` : `rank ${rank} on ${host}`;
}

/** Says what the workers of a run do where nobody is waited for. */
function quietText(activity: SeenActivity): string {
	const placed = activity.workers.map((worker): Placed => ({ worker, place: placeOf(worker, activity) }));
	const count = placed.length;
	const all = count === 1 ? "its worker" : `its ${count} workers`;
	const verb = count === 1 ? "is" : "are";
	if (isAllDone(activity)) {
		const finished = placed.filter(({ worker }) => worker.finished).length;
		const part =
			finished === 0
				? `${all} ${verb} finishing`
				: `${finished} of ${workersText(count)} ${finished === 1 ? "has" : "have"} finished`;
		return `all records are processed, and ${part}`;
	}
	const loading = placed
		.filter(({ place }) => place.kind === "batch" && place.what === "loading" && place.seconds !== null)
		.sort((a, b) => weight(b.place) - weight(a.place));
	const [longest] = loading;
	if (longest !== undefined) {
		const rest = loading.length - 1;
		const others = rest === 0 ? "" : `, and ${rest} ${rest === 1 ? "other waits" : "others wait"} for records too`;
		return `${culpritText(longest, activity)}${others}`;
	}
	const isSettingUp = placed.every(({ place }) => place.kind === "idle" && place.what === "setting up");
	return `${all} ${verb} ${isSettingUp ? "setting up" : "running"}`;
}
