import { MillraceError } from "../../errors.js";

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

/**
 * Reads the place from torchrun's names: RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE, GROUP_RANK,
 * GROUP_WORLD_SIZE. `millrace launch` sets the same. Without RANK and WORLD_SIZE the process is the only
 * worker; without the others it is alone on its node.
 *
 * Throws `invalid_argument` if one of RANK and WORLD_SIZE is missing, or the numbers do not fit;
 * `unimplemented` if both are, but Open MPI, PMI or Slurm says that it started several processes.
 */
export function placeFromEnvironment(environment: NodeJS.ProcessEnv = process.env): WorkerPlace {
	const number = (name: string) => parseCount(name, environment[name]);
	const rank = number("RANK");
	const size = number("WORLD_SIZE");
	if (rank === undefined && size === undefined) {
		assertAlone(environment);
		return { rank: 0, size: 1, localRank: 0, localSize: 1, crossRank: 0, crossSize: 1 };
	}
	if (rank === undefined || size === undefined) {
		const [missing, given] = rank === undefined ? ["RANK", "WORLD_SIZE"] : ["WORLD_SIZE", "RANK"];
		throw new MillraceError("invalid_argument", `${given} is set but ${missing} is not; set both, or neither`);
	}
	const localSize = number("LOCAL_WORLD_SIZE") ?? 1;
	const localRank = number("LOCAL_RANK") ?? 0;
	const crossSize = number("GROUP_WORLD_SIZE") ?? Math.ceil(size / Math.max(1, localSize));
	const crossRank = number("GROUP_RANK") ?? Math.floor(rank / Math.max(1, localSize));
	assertBelow("RANK", rank, "WORLD_SIZE", size);
	assertBelow("LOCAL_RANK", localRank, "LOCAL_WORLD_SIZE", localSize);
	assertBelow("GROUP_RANK", crossRank, "GROUP_WORLD_SIZE", crossSize);
	return { rank, size, localRank, localSize, crossRank, crossSize };
}

/** The names by which a launcher says how many processes it started, and a name that only its processes have. */
const launchers = [
	{ launcher: "Open MPI", size: "OMPI_COMM_WORLD_SIZE", mark: "OMPI_COMM_WORLD_SIZE" },
	// Before PMI, which srun may set too.
	{ launcher: "Slurm", size: "SLURM_NTASKS", mark: "SLURM_PROCID" },
	{ launcher: "an MPI launcher", size: "PMI_SIZE", mark: "PMI_SIZE" },
] as const;

/** Each of the processes would take itself for the only one, and process all data. */
function assertAlone(environment: NodeJS.ProcessEnv): void {
	for (const { launcher, size, mark } of launchers) {
		const count = environment[mark] === undefined ? 1 : Number(environment[size]);
		if (count > 1) {
			throw new MillraceError(
				"unimplemented",
				`this process is one of ${count} that ${launcher} started (${size}), whose names this version does not read;` +
					" set RANK and WORLD_SIZE",
			);
		}
	}
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

function assertBelow(name: string, value: number, limitName: string, limit: number): void {
	if (value >= limit) {
		throw new MillraceError("invalid_argument", `${name} is ${value}, but ${limitName} is ${limit}; it must be below`);
	}
}
