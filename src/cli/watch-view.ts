import { durationText } from "../duration-text.js";
import { narrowestBar, progressBar } from "../launcher/progress-bar.js";
import { count, rateText } from "../launcher/progress-line.js";
import type { TrialActivity, WorkerActivity } from "../sdk/index.js";
import { placeOf, placeWords, secondsSince, type WorkerPlace } from "../sdk/worker-message.js";
import { displayWidth, elide, onOneLine } from "./display-width.js";
import { type Column, type TableTerminal, tableLines } from "./table.js";
import type { Terminal, TextStyle } from "./terminal.js";
import { hasOpenRun, watchProgress } from "./watch-progress.js";
import { wrapText } from "./wrap-text.js";

/** What the view has to know of the terminal. */
export type WatchTerminal = TableTerminal & Pick<Terminal, "rows">;

/** The width from which on a table has all of its columns. */
const wideColumns = 120;

/** The least number of workers that are shown, however low the terminal is. */
const fewestWorkers = 1;

/**
 * Shows what a trial is doing, as lines that fit the terminal: how far and how fast it is, in words who is waited for,
 * and a table of its workers. Where that has no room for all, it shows those who are in the way.
 *
 * @param silentMs For how long the server has not answered; 0 if it does.
 */
export function watchView(activity: TrialActivity, terminal: WatchTerminal, silentMs = 0): string[] {
	const { columns, isUnicode } = terminal;
	const ellipsis = isUnicode ? "…" : "...";
	const status = onOneLine(activity.status);
	const lines = [
		...wrapText(onOneLine(titleOf(activity)), columns, ellipsis).map((line) => terminal.style("bold", line)),
		...progressLines(activity, terminal),
		...(status === "" ? [] : [elide(`status: ${status}`, columns, ellipsis)]),
		"",
		...wrapText(onOneLine(activity.message), columns, ellipsis),
	];
	if (silentMs > 0) {
		const silent = `no answer from the server for ${durationText(Math.floor(silentMs / 1_000))}`;
		lines.push(terminal.style("yellow", elide(silent, columns, ellipsis)));
	}
	return activity.workers.length === 0 ? lines : [...lines, "", ...workerLines(activity, terminal, lines.length + 1)];
}

function titleOf(activity: TrialActivity): string {
	const { trialId, experimentId, experimentName, run, state, restarts, maxRestarts } = activity;
	const name = `trial ${trialId} of experiment ${experimentId} (${experimentName})`;
	const again = restarts === 0 ? "" : `, restart ${count(restarts)} of ${count(maxRestarts)}`;
	if (run === null || !hasOpenRun(activity)) {
		return `${name}: ${state}${again}`;
	}
	const workers = run.worldSize === 1 ? "1 worker" : `${count(run.worldSize)} workers`;
	const time = durationText(secondsSince(activity, run.startTime));
	return `${name}, run ${run.trialRunId}: ${run.state} for ${time}, ${workers}${again}`;
}

function progressLines(activity: TrialActivity, { columns, isUnicode }: WatchTerminal): string[] {
	const text = watchProgress(activity);
	if (text === "") {
		return [];
	}
	const room = columns - displayWidth(`[] ${text}`);
	const bar = room < narrowestBar ? "" : `[${progressBar(activity.progress, room, isUnicode)}] `;
	return wrapText(`${bar}${text}`, columns, isUnicode ? "…" : "...");
}

interface Row {
	readonly worker: WorkerActivity;
	readonly place: WorkerPlace;
	readonly what: string;
	readonly seconds: number | null;
	readonly commitSeconds: number | null;
}

function workerLines(activity: TrialActivity, terminal: WatchTerminal, linesBefore: number): string[] {
	const rows = activity.workers.map((worker): Row => {
		const place = placeOf(worker, activity);
		const { lastCommitTime } = worker;
		const commitSeconds = lastCommitTime === null ? null : secondsSince(activity, lastCommitTime);
		return { worker, place, ...placeWords(place, activity), commitSeconds };
	});
	// The titles take one line, and the last line of the terminal is left free for the cursor.
	const room = terminal.rows - linesBefore - 2;
	const shown = rows.length <= room ? rows : inTheWay(rows, Math.max(fewestWorkers, room - 1));
	const lines = tableLines(terminal, terminal.columns >= wideColumns ? wideTable : narrowTable, shown);
	const hidden = rows.length - shown.length;
	return hidden === 0 ? lines : [...lines, `and ${count(hidden)} more ${hidden === 1 ? "worker" : "workers"}`];
}

/** Chooses those rows that others may wait for, in their order. */
function inTheWay(rows: readonly Row[], most: number): Row[] {
	const chosen = new Set([...rows].sort((a, b) => urgency(b) - urgency(a)).slice(0, most));
	return rows.filter((row) => chosen.has(row));
}

function urgency({ place, seconds }: Row): number {
	switch (place.kind) {
		case "silent":
		case "disconnected":
		case "absent":
			return Number.MAX_SAFE_INTEGER;
		case "batch":
		case "idle":
			return 1 + (seconds ?? 0);
		case "running":
			return 1;
		default:
			return 0;
	}
}

function styleOf({ place }: Row): TextStyle | undefined {
	switch (place.kind) {
		case "silent":
		case "disconnected":
		case "absent":
			return "red";
		case "waiting":
		case "finished":
			return "dim";
		default:
			return undefined;
	}
}

const placeColumns: readonly Column<Row>[] = [
	{ title: "RANK", text: ({ worker }) => String(worker.rank), align: "right" },
	{ title: "HOST", text: ({ worker }) => worker.host, isCuttable: true },
];
const processColumns: readonly Column<Row>[] = [
	{ title: "NODE", text: ({ worker }) => String(worker.nodeRank), align: "right" },
	{ title: "LOCAL RANK", text: ({ worker }) => String(worker.localRank), align: "right" },
	{ title: "PID", text: ({ worker }) => String(worker.pid), align: "right" },
	{ title: "STEP", text: ({ worker }) => count(worker.step), align: "right" },
];
const workColumns: readonly Column<Row>[] = [
	{ title: "RECORDS", text: ({ worker }) => count(worker.recordsDone), align: "right" },
	{
		title: "PER S",
		text: ({ worker }) => (worker.recordsPerSecond === null ? "" : rateText(worker.recordsPerSecond)),
		align: "right",
	},
	{
		title: "COMMIT",
		text: ({ commitSeconds }) => (commitSeconds === null ? "" : `${durationText(commitSeconds)} ago`),
		align: "right",
	},
	{ title: "NOW", text: ({ what }) => what, isCuttable: true, style: styleOf },
	{
		title: "FOR",
		text: ({ seconds }) => (seconds === null ? "" : durationText(seconds)),
		align: "right",
		style: styleOf,
	},
];
const narrowTable = [...placeColumns, ...workColumns];
const wideTable = [...placeColumns, ...processColumns, ...workColumns];
