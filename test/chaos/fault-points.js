// Lets the faults of a round happen in the processes that they happen to. Workers import it; a server loads it by --import.
import { channel } from "node:diagnostics_channel";
import { appendFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const directory = process.env.CHAOS_DIRECTORY ?? "";
const { faults } = JSON.parse(readFileSync(join(directory, "plan.json"), "utf8"));
const isWorker = process.argv[1]?.endsWith("worker.js") ?? false;
/** How long a worker waits for what the round does. */
const waitMs = 10_000;

const seen = new Set();
let next = 0;
let occurrences = 0;
let progress = 0;

/** Tells how far this worker is: the part of all records that come before the last one that it has seen. */
export function setProgress(part) {
	progress = part;
}

/** Writes a line that the round reads. */
export function note(line) {
	appendFileSync(join(directory, "notes.jsonl"), `${JSON.stringify({ ...line, ...whereAndWhen() })}\n`);
}

/** A run has no number where nobody but its leg starts it. */
function whereAndWhen() {
	const { RANK: rank, CHAOS_LEG: leg, MILLRACE_TRIAL_RUN_ID: run = 0 } = process.env;
	return { rank: Number(rank), leg: Number(leg), run: Number(run), time: Date.now() };
}

/** Says that this process is at a step; does not return if it is to die there. */
export function at(step) {
	while (next < faults.length && existsSync(join(directory, `fault-${next}`))) {
		next++;
		occurrences = 0;
	}
	const fault = faults[next];
	if (fault?.step !== step || !concernsMe(fault) || progress < fault.progress) {
		return;
	}
	occurrences++;
	if (occurrences >= fault.occurrence && claim(fault)) {
		happen(fault);
	}
}

function concernsMe({ kind, rank }) {
	if (!isWorker) {
		return kind === "server-die";
	}
	return kind !== "server-die" && rank % Number(process.env.WORLD_SIZE) === Number(process.env.RANK);
}

/** Each fault happens once, in whichever process is there first. */
function claim({ step }) {
	const told = { pid: process.pid, step, ...whereAndWhen() };
	try {
		writeFileSync(join(directory, `fault-${next}`), JSON.stringify(told), { flag: "wx" });
		return true;
	} catch {
		return false;
	}
}

function happen({ kind }) {
	switch (kind) {
		case "worker-kill":
		case "server-die":
			process.kill(process.pid, "SIGKILL");
			break;
		case "worker-freeze":
			process.kill(process.pid, "SIGSTOP");
			break;
		case "worker-throw":
			throw new Error("planted by the plan of the round");
		case "worker-exit":
			process.exit(0);
			break;
		case "worker-memory":
			fillMemory();
			break;
		case "launcher-kill":
			if (process.env.MILLRACE_PARENT_PIPE === "1") {
				process.kill(process.ppid, "SIGKILL");
			}
			break;
		default:
			waitForRound(join(directory, `fault-${next}.done`));
	}
}

function fillMemory() {
	const hoard = [];
	for (;;) {
		hoard.push(new Array(100_000).fill(hoard.length));
	}
}

function waitForRound(file) {
	const deadline = Date.now() + waitMs;
	const nobody = new Int32Array(new SharedArrayBuffer(4));
	while (!existsSync(file) && Date.now() < deadline) {
		Atomics.wait(nobody, 0, 0, 5);
	}
}

channel("millrace:step").subscribe(({ step }) => {
	if (!seen.has(step)) {
		seen.add(step);
		appendFileSync(join(directory, "steps.txt"), `${isWorker ? "worker" : "server"} ${step}\n`);
	}
	at(step);
});
