// A worker with a loop of its own: adds up the numbers of its steps, and stores how far it is. WORKER_OPTIONS is its JSON.
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type CoreContext, core, type PreemptMode } from "../../../src/runtime/index.js";
import { waitUntil } from "../wait-until.js";

/** A step of this rank, in this run. */
interface Place {
	readonly step: number;
	readonly rank: number;
	readonly run: number;
}

interface WorkerOptions {
	readonly steps: number;
	/** After how many steps a checkpoint is stored; default never. */
	readonly every?: number;
	/** Whether all ranks have a part in it; else the chief stores what all have. */
	readonly shard?: boolean;
	readonly preemptMode?: PreemptMode;
	/** Whether it says by itself that it stops because it was asked to; default: shouldPreempt does. */
	readonly acknowledge?: boolean;
	/** Where to wait until the file exists. */
	readonly hold?: Place & { readonly file: string };
	/** Where to throw. */
	readonly fail?: Place;
	/** Where to SIGKILL itself, while a checkpoint is being stored, so many milliseconds after its files were begun. */
	readonly kill?: Place & { readonly afterMs: number };
}

const {
	steps,
	every,
	shard = false,
	preemptMode,
	acknowledge,
	hold,
	fail,
	kill,
} = JSON.parse(process.env.WORKER_OPTIONS ?? "{}") as WorkerOptions;

function say(line: object): void {
	process.stdout.write(`${JSON.stringify(line)}\n`);
}

/** Adds up the parts of all ranks that this one has to go on with. */
async function restore({ checkpoint, distributed: { rank, size }, info }: CoreContext): Promise<number> {
	if (info.latestCheckpoint === null) {
		return 0;
	}
	const isOwn = (path: string) => Number(/\d+/.exec(path)?.[0]) % size === rank;
	return checkpoint.restorePath(
		info.latestCheckpoint,
		(path) => {
			const parts = readdirSync(path).filter((name) => name.startsWith("part-") && isOwn(name));
			return parts.reduce((sum, name) => sum + Number(readFileSync(join(path, name), "utf8")), 0);
		},
		{ selector: isOwn },
	);
}

async function store(context: CoreContext, step: number, total: number): Promise<void> {
	const { rank, size } = context.distributed;
	const { trialRunId } = context.info;
	const totals = shard ? [] : await context.distributed.gather(total);
	if (!shard && totals === null) {
		return;
	}
	const metadata = rank === 0 ? { steps_completed: step } : { workers: size };
	const uuid = await context.checkpoint.storePath(
		metadata,
		(path) => {
			if (kill?.step === step && kill.rank === rank && kill.run === trialRunId) {
				setTimeout(() => process.kill(process.pid, "SIGKILL"), kill.afterMs);
			}
			const parts = shard ? [[rank, total] as const] : [...(totals ?? []).entries()];
			for (const [part, sum] of parts) {
				writeFileSync(join(path, `part-${part}`), String(sum));
			}
		},
		{ shard },
	);
	say({ call: "stored", count: step, rank, run: trialRunId, results: { uuid } });
}

const returned = await core.init(
	async (context) => {
		const { distributed, info, train, preempt } = context;
		const { rank, size } = distributed;
		const run = info.trialRunId;
		say({ call: "started", count: info.stepsCompleted ?? 0, rank, run, results: { latest: info.latestCheckpoint } });
		let total = await restore(context);
		for (let step = (info.stepsCompleted ?? 0) + 1; step <= steps; step++) {
			const isAt = (place: Place | undefined) => place?.step === step && place.rank === rank && place.run === run;
			say({ call: "step", count: step, rank, run });
			if (isAt(fail)) {
				throw new Error("planted in a step");
			}
			if (isAt(hold)) {
				await waitUntil(`the file ${hold?.file}`, () => existsSync(hold?.file ?? ""), 60_000);
			}
			total += step % size === rank ? step : 0;
			void train.reportMetrics("steps", step, { total });
			const isAsked =
				preemptMode === "ChiefOnly" && rank > 0
					? false
					: await preempt.shouldPreempt({ autoAck: acknowledge === undefined });
			const isStopping = preemptMode === undefined ? isAsked : await distributed.broadcast(isAsked);
			if (isStopping || step === steps || (every !== undefined && step % every === 0)) {
				await store(context, step, total);
			}
			if (isStopping) {
				if (acknowledge) {
					preempt.acknowledgePreemptionSignal();
				}
				return "stopped";
			}
		}
		return (await distributed.allgather(total)).reduce((sum, part) => sum + part, 0);
	},
	{ ...(preemptMode !== undefined && { preemptMode }) },
);
say({ call: "returned", results: { returned } });
