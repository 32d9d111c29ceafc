import { MillraceError } from "../../errors.js";
import { type Launcher, launchers } from "./launchers.js";

/** Which worker of how many this process is. */
export interface WorkerPlace {
	/** The rank among all workers, from 0. */
	readonly rank: number;
	/** The number of workers. */
	readonly size: number;
	/** The rank among the workers of this node, from 0. */
	readonly localRank: number;
	/** The number of workers on this node. */
	readonly localSize: number;
	/** The number of this node, from 0. */
	readonly crossRank: number;
	/** The number of nodes. */
	readonly crossSize: number;
}

const alone: WorkerPlace = { rank: 0, size: 1, localRank: 0, localSize: 1, crossRank: 0, crossSize: 1 };

/**
 * Reads the place of this process from the names of the first launcher that is there:
 *
 * 1. torchrun: RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE, GROUP_RANK, GROUP_WORLD_SIZE. `millrace launch`
 *    sets the same.
 * 2. Open MPI: OMPI_COMM_WORLD_RANK, _SIZE, _LOCAL_RANK, _LOCAL_SIZE.
 * 3. PMI, as MPICH sets it: PMI_RANK, PMI_SIZE, MPI_LOCALRANKID, MPI_LOCALNRANKS.
 * 4. Slurm, in a step that srun started: SLURM_PROCID, SLURM_STEP_NUM_TASKS, SLURM_LOCALID, SLURM_NODEID and more.
 * 5. An Indexed Job of Kubernetes: JOB_COMPLETION_INDEX; WORLD_SIZE has to be set beside it.
 *
 * Without any of them the process is the only worker; where the launcher does not tell of nodes, it is alone on
 * its node. A name that is set to nothing counts as not set.
 *
 * Throws `invalid_argument`, naming the variables, if the rank or the size is missing or the numbers do not fit.
 */
export function placeFromEnvironment(environment: NodeJS.ProcessEnv = process.env): WorkerPlace {
	const launcher = launchersIn(environment)[0];
	if (launcher !== undefined) {
		return placeBy(launcher, environment);
	}
	if (environment.WORLD_SIZE) {
		throw incomplete("RANK", "WORLD_SIZE");
	}
	return alone;
}

/**
 * Says in one line by whose names rank 0 knows its place, as this is no error where it is not meant. Undefined
 * for a single worker, for other ranks, and where nothing but RANK and WORLD_SIZE is set, so that nobody doubts it.
 */
export function launcherNotice(environment: NodeJS.ProcessEnv = process.env): string | undefined {
	const [launcher, ...others] = launchersIn(environment);
	if (launcher === undefined) {
		return undefined;
	}
	const { rank, size, crossSize } = placeBy(launcher, environment);
	const isPlain = launcher.rank === "RANK" && others.length === 0 && !environment.TORCHELASTIC_RUN_ID;
	if (rank > 0 || size === 1 || isPlain) {
		return undefined;
	}
	const nodes = crossSize === 1 ? "one node" : `${crossSize} nodes`;
	const also = others.length === 0 ? "" : `; not by ${others.map(({ name }) => name).join(" or ")}, set too`;
	return `${size} workers on ${nodes}, by ${launcher.name} (${launcher.rank}, ${sizeName(launcher, environment)})${also}`;
}

function launchersIn(environment: NodeJS.ProcessEnv): Launcher[] {
	return launchers.filter(({ isThere }) => isThere(environment));
}

function sizeName({ size }: Launcher, environment: NodeJS.ProcessEnv): string {
	return firstSet(size, environment) ?? size[0];
}

function placeBy(launcher: Launcher, environment: NodeJS.ProcessEnv): WorkerPlace {
	const number = (name: string | undefined) => (name === undefined ? undefined : parseCount(name, environment[name]));
	const sizeFrom = sizeName(launcher, environment);
	const rank = number(launcher.rank);
	const size = number(sizeFrom);
	if (rank === undefined || size === undefined) {
		const [missing, given] = rank === undefined ? [launcher.rank, sizeFrom] : [sizeFrom, launcher.rank];
		throw incomplete(missing, given);
	}
	assertBelow(launcher.rank, rank, sizeFrom, size);

	const localSizeFrom = launcher.localSize ?? "the number of workers on this node";
	const localSize = number(launcher.localSize) ?? launcher.readLocalSize?.(environment) ?? 1;
	const localRank = number(launcher.localRank) ?? 0;
	assertBelow(launcher.localRank ?? "the local rank", localRank, localSizeFrom, localSize);

	const crossSizeFrom = firstSet(launcher.crossSize ?? [], environment);
	const crossSize = number(crossSizeFrom) ?? Math.ceil(size / localSize);
	const crossRank = number(launcher.crossRank) ?? nodeOf(rank, localRank, localSize, crossSize);
	assertBelow(launcher.crossRank ?? "the node's rank", crossRank, crossSizeFrom ?? "the number of nodes", crossSize);
	return { rank, size, localRank, localSize, crossRank, crossSize };
}

/** Ranks are handed out node by node, or in turn: mpirun's `--map-by node`. */
function nodeOf(rank: number, localRank: number, localSize: number, nodeCount: number): number {
	return rank % localSize === localRank ? Math.floor(rank / localSize) : rank % nodeCount;
}

function firstSet(names: readonly string[], environment: NodeJS.ProcessEnv): string | undefined {
	return names.find((name) => environment[name]);
}

function parseCount(name: string, text: string | undefined): number | undefined {
	if (text === undefined || text === "") {
		return undefined;
	}
	if (!/^\d{1,9}$/.test(text)) {
		throw new MillraceError("invalid_argument", `${name} is "${text}"; it must be a whole number, not negative`);
	}
	return Number(text);
}

function incomplete(missing: string, given: string): MillraceError {
	return new MillraceError("invalid_argument", `${given} is set but ${missing} is not; set both, or neither`);
}

function assertBelow(name: string, value: number, limitName: string, limit: number): void {
	if (value >= limit) {
		throw new MillraceError("invalid_argument", `${name} is ${value}, but ${limitName} is ${limit}; it must be below`);
	}
}
