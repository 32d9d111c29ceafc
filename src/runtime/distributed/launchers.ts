/** The names of environment variables by which a launcher tells each process its place. */
export interface Launcher {
	/** The launcher's own name, for messages. */
	readonly name: string;
	/** Tells whether it started this process. */
	readonly isThere: (environment: NodeJS.ProcessEnv) => boolean;
	readonly rank: string;
	/** The first of them that is set counts. */
	readonly size: readonly [string, ...string[]];
	readonly localRank?: string;
	readonly localSize?: string;
	/** Reads the number of workers on this node where no one variable has it. */
	readonly readLocalSize?: (environment: NodeJS.ProcessEnv) => number | undefined;
	readonly crossRank?: string;
	/** The first of them that is set counts. */
	readonly crossSize?: readonly [string, ...string[]];
}

/**
 * All launchers whose names are read, in the order in which they are asked. The inner one comes before the
 * outer one: torchrun and mpirun inside a Slurm job, or inside a Kubernetes pod, are normal.
 */
export const launchers: readonly Launcher[] = [
	{
		name: "torchrun",
		isThere: has("RANK"),
		rank: "RANK",
		size: ["WORLD_SIZE"],
		localRank: "LOCAL_RANK",
		localSize: "LOCAL_WORLD_SIZE",
		crossRank: "GROUP_RANK",
		crossSize: ["GROUP_WORLD_SIZE"],
	},
	{
		name: "Open MPI",
		isThere: has("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
		rank: "OMPI_COMM_WORLD_RANK",
		size: ["OMPI_COMM_WORLD_SIZE"],
		localRank: "OMPI_COMM_WORLD_LOCAL_RANK",
		localSize: "OMPI_COMM_WORLD_LOCAL_SIZE",
	},
	{
		name: "PMI",
		// Those of `srun --mpi=pmi2` repeat Slurm's, which say more.
		isThere: (environment) => has("PMI_RANK", "PMI_SIZE")(environment) && !isRepeatedBySlurm(environment),
		rank: "PMI_RANK",
		size: ["PMI_SIZE"],
		localRank: "MPI_LOCALRANKID",
		localSize: "MPI_LOCALNRANKS",
	},
	{
		name: "Slurm",
		isThere: isSlurmStep,
		rank: "SLURM_PROCID",
		// A step may have fewer tasks and nodes than its job.
		size: ["SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"],
		localRank: "SLURM_LOCALID",
		readLocalSize: readTasksOfNode,
		crossRank: "SLURM_NODEID",
		crossSize: ["SLURM_STEP_NUM_NODES", "SLURM_NNODES"],
	},
	{
		name: "Kubernetes",
		isThere: has("JOB_COMPLETION_INDEX"),
		rank: "JOB_COMPLETION_INDEX",
		// An Indexed Job does not tell its pods how many they are; the manifest has to.
		size: ["WORLD_SIZE"],
	},
];

function has(...names: string[]): (environment: NodeJS.ProcessEnv) => boolean {
	return (environment) => names.some((name) => environment[name]);
}

/** The script of sbatch has a SLURM_PROCID too, and the size of its job, but is a single process: no step. */
function isSlurmStep(environment: NodeJS.ProcessEnv): boolean {
	return has("SLURM_STEP_ID")(environment) && has("SLURM_PROCID")(environment);
}

function isRepeatedBySlurm(environment: NodeJS.ProcessEnv): boolean {
	const isSame = (pmi: string, slurm: string) => environment[pmi] === environment[slurm];
	return (
		isSlurmStep(environment) &&
		!has("MPI_LOCALRANKID")(environment) &&
		isSame("PMI_RANK", "SLURM_PROCID") &&
		isSame("PMI_SIZE", "SLURM_STEP_NUM_TASKS")
	);
}

/** Reads this node's part of SLURM_STEP_TASKS_PER_NODE, such as "2(x3),1": two tasks on three nodes, then one. */
function readTasksOfNode(environment: NodeJS.ProcessEnv): number | undefined {
	const counts = (environment.SLURM_STEP_TASKS_PER_NODE ?? "").split(",").flatMap((part) => {
		const [, tasks, nodes = "1"] = /^(\d{1,9})(?:\(x(\d{1,6})\))?$/.exec(part) ?? [];
		return tasks === undefined ? [] : Array.from({ length: Number(nodes) }, () => Number(tasks));
	});
	return counts[Number(environment.SLURM_NODEID)];
}
