import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { builtCommand } from "../support/start-built-server.js";
import { type LoggedProcess, startLogged } from "./logged-process.js";
import type { LegPlan } from "./round-plan.js";

const worker = fileURLToPath(new URL("worker.js", import.meta.url));
/** Enough for a worker, and soon filled. */
const workerCommand = [process.execPath, "--max-old-space-size=96", worker];
/** Long enough for the other workers to notice by themselves. */
const failureGraceSeconds = "2";

/** The workers of a trial from one start to their end. */
export interface Leg {
	/** The process that owns the trial, or the node's workers; else the workers themselves. */
	readonly processes: readonly LoggedProcess[];
}

/** Where a leg takes place. */
export interface LegSetup {
	readonly directory: string;
	readonly index: number;
	/** Its server and the round's own names. */
	readonly env: Record<string, string>;
	/** The trial; none before the first leg of `run`. */
	readonly trialId: number | undefined;
}

/** Starts the workers of a leg. */
export function startLeg(plan: LegPlan, { directory, index, env, trialId }: LegSetup): Leg {
	const log = (name: string) => join(directory, `leg-${index}-${name}.log`);
	const own: Record<string, string> = { ...env, CHAOS_LEG: String(index) };
	const trial: Record<string, string> = trialId === undefined ? {} : { MILLRACE_TRIAL_ID: String(trialId) };
	const launch = [builtCommand, "launch", "--failure-grace", failureGraceSeconds];
	switch (plan.kind) {
		case "run": {
			const config = join(directory, `leg-${index}.yaml`);
			const entrypoint = [process.execPath, ...launch, "--", ...workerCommand];
			const resources = { slots_per_trial: plan.workers };
			// JSON is YAML.
			writeFileSync(config, JSON.stringify({ name: "chaos", entrypoint, resources, max_restarts: 50 }));
			const again = trialId === undefined ? [] : ["--trial", String(trialId)];
			return { processes: [startLogged([builtCommand, "run", config, ...again], own, log("run"))] };
		}
		case "launch": {
			const args = [...launch, "--nproc-per-node", String(plan.workers), "--", ...workerCommand];
			return { processes: [startLogged(args, { ...own, ...trial }, log("launch"))] };
		}
		case "bare":
			return {
				processes: Array.from({ length: plan.workers }, (_, rank) => {
					const ranks = { RANK: String(rank), LOCAL_RANK: String(rank) };
					const sizes = { WORLD_SIZE: String(plan.workers), LOCAL_WORLD_SIZE: String(plan.workers) };
					const [, ...args] = workerCommand;
					return startLogged(args, { ...own, ...trial, ...ranks, ...sizes }, log(`worker-${rank}`));
				}),
			};
	}
}
