import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { isMillraceError } from "../../../src/errors.js";
import {
	launcherNotice,
	placeFromEnvironment,
	type WorkerPlace,
} from "../../../src/runtime/distributed/environment.js";

const alone: WorkerPlace = { rank: 0, size: 1, localRank: 0, localSize: 1, crossRank: 0, crossSize: 1 };

/** The third of five workers, the first on the second of two nodes, by each launcher. */
const torchrun = {
	RANK: "3",
	WORLD_SIZE: "5",
	LOCAL_RANK: "0",
	LOCAL_WORLD_SIZE: "2",
	GROUP_RANK: "1",
	GROUP_WORLD_SIZE: "2",
};
const openMpi = {
	OMPI_COMM_WORLD_RANK: "5",
	OMPI_COMM_WORLD_SIZE: "8",
	OMPI_COMM_WORLD_LOCAL_RANK: "1",
	OMPI_COMM_WORLD_LOCAL_SIZE: "4",
	OMPI_COMM_WORLD_NODE_RANK: "1",
};
const mpich = { PMI_RANK: "5", PMI_SIZE: "8", MPI_LOCALRANKID: "1", MPI_LOCALNRANKS: "4" };
/** As srun sets them for a step of 5 tasks on 3 nodes of a job that has 4 nodes and 16 tasks. */
const slurm = {
	SLURM_JOB_ID: "7",
	SLURM_NTASKS: "16",
	SLURM_NNODES: "4",
	SLURM_TASKS_PER_NODE: "4(x4)",
	SLURM_STEP_ID: "0",
	SLURM_STEP_NUM_TASKS: "5",
	SLURM_STEP_NUM_NODES: "3",
	SLURM_STEP_TASKS_PER_NODE: "2(x2),1",
	SLURM_PROCID: "4",
	SLURM_LOCALID: "0",
	SLURM_NODEID: "2",
};
const kubernetes = { JOB_COMPLETION_INDEX: "3", WORLD_SIZE: "4" };

const placeIn = {
	torchrun: { rank: 3, size: 5, localRank: 0, localSize: 2, crossRank: 1, crossSize: 2 },
	block: { rank: 5, size: 8, localRank: 1, localSize: 4, crossRank: 1, crossSize: 2 },
	slurm: { rank: 4, size: 5, localRank: 0, localSize: 1, crossRank: 2, crossSize: 3 },
	pod: { rank: 3, size: 4, localRank: 0, localSize: 1, crossRank: 3, crossSize: 4 },
};

describe("placeFromEnvironment", () => {
	it("is the only worker where nothing is set", () => {
		assert.deepEqual(placeFromEnvironment({}), alone);
		assert.deepEqual(placeFromEnvironment({ RANK: "", WORLD_SIZE: "", JOB_COMPLETION_INDEX: "" }), alone);
	});

	const read: [string, NodeJS.ProcessEnv, WorkerPlace][] = [
		["torchrun", torchrun, placeIn.torchrun],
		["Open MPI", openMpi, placeIn.block],
		["MPICH", mpich, placeIn.block],
		["Slurm", slurm, placeIn.slurm],
		["an Indexed Job of Kubernetes", kubernetes, placeIn.pod],
	];
	for (const [name, environment, place] of read) {
		it(`reads the names of ${name}`, () => assert.deepEqual(placeFromEnvironment(environment), place));
	}

	it("is alone on its node where only rank and size are known", () => {
		const place = { rank: 5, size: 8, localRank: 0, localSize: 1, crossRank: 5, crossSize: 8 };
		assert.deepEqual(placeFromEnvironment({ RANK: "5", WORLD_SIZE: "8" }), place);
		assert.deepEqual(placeFromEnvironment({ PMI_RANK: "5", PMI_SIZE: "8" }), place);
	});

	it("knows the node also where mpirun hands out ranks in turn", () => {
		const places = [0, 1, 2, 3, 4, 5].map((rank) =>
			placeFromEnvironment({
				OMPI_COMM_WORLD_RANK: String(rank),
				OMPI_COMM_WORLD_SIZE: "6",
				OMPI_COMM_WORLD_LOCAL_RANK: String(Math.floor(rank / 2)),
				OMPI_COMM_WORLD_LOCAL_SIZE: "3",
			}),
		);
		// Rank 0 is the first of its node either way.
		assert.deepEqual(
			places.map(({ crossRank }) => crossRank),
			[0, 1, 0, 1, 0, 1],
		);
	});

	it("reads each node's part of Slurm's tasks", () => {
		const sizes = [0, 1, 2].map((node) =>
			placeFromEnvironment({ ...slurm, SLURM_NODEID: String(node), SLURM_PROCID: String(node * 2) }),
		);
		assert.deepEqual(
			sizes.map(({ localSize }) => localSize),
			[2, 2, 1],
		);
	});

	it("takes the job's numbers where a step has none of its own", () => {
		const place = placeFromEnvironment({
			SLURM_STEP_ID: "0",
			SLURM_PROCID: "1",
			SLURM_NTASKS: "4",
			SLURM_NNODES: "4",
			SLURM_NODEID: "1",
		});
		assert.deepEqual(place, { rank: 1, size: 4, localRank: 0, localSize: 1, crossRank: 1, crossSize: 4 });
	});

	it("asks the inner launcher before the outer one", () => {
		assert.deepEqual(placeFromEnvironment({ ...kubernetes, ...slurm, ...mpich }), placeIn.block);
		assert.deepEqual(placeFromEnvironment({ ...slurm, ...mpich, ...openMpi }), placeIn.block);
		assert.deepEqual(placeFromEnvironment({ ...slurm, ...kubernetes }), placeIn.slurm);
		assert.deepEqual(
			placeFromEnvironment({ ...kubernetes, ...slurm, ...mpich, ...openMpi, ...torchrun }),
			placeIn.torchrun,
		);
	});

	it("takes Slurm's names where those of PMI come from srun too", () => {
		assert.deepEqual(placeFromEnvironment({ ...slurm, PMI_RANK: "4", PMI_SIZE: "5" }), placeIn.slurm);
	});

	it("is the only worker in the script of sbatch, whose job has many tasks", () => {
		const batch = { SLURM_JOB_ID: "7", SLURM_PROCID: "0", SLURM_NTASKS: "4", SLURM_NODEID: "0", SLURM_LOCALID: "0" };
		assert.deepEqual(placeFromEnvironment(batch), alone);
	});

	const bad: [string, NodeJS.ProcessEnv, RegExp][] = [
		["a rank without a world size", { RANK: "0" }, /^RANK is set but WORLD_SIZE is not/],
		["a world size without a rank", { WORLD_SIZE: "2" }, /^WORLD_SIZE is set but RANK is not/],
		["a pod that does not know how many there are", { JOB_COMPLETION_INDEX: "0" }, /but WORLD_SIZE is not/],
		[
			"half of Open MPI's names",
			{ OMPI_COMM_WORLD_SIZE: "2" },
			/^OMPI_COMM_WORLD_SIZE is set but OMPI_COMM_WORLD_RANK is not/,
		],
		["half of PMI's names", { PMI_RANK: "1" }, /^PMI_RANK is set but PMI_SIZE is not/],
		["a step without a size", { SLURM_STEP_ID: "0", SLURM_PROCID: "1" }, /but SLURM_STEP_NUM_TASKS is not/],
		["a rank that is not below the world size", { RANK: "2", WORLD_SIZE: "2" }, /RANK is 2, but WORLD_SIZE is 2/],
		[
			"a pod beyond the world size",
			{ JOB_COMPLETION_INDEX: "4", WORLD_SIZE: "4" },
			/JOB_COMPLETION_INDEX is 4, but WORLD_SIZE is 4/,
		],
		["a rank that is no number", { RANK: "one", WORLD_SIZE: "2" }, /RANK is "one"/],
		["a negative rank", { RANK: "-1", WORLD_SIZE: "2" }, /RANK is "-1"/],
		[
			"a local rank beyond the node",
			{ RANK: "0", WORLD_SIZE: "2", LOCAL_RANK: "3", LOCAL_WORLD_SIZE: "2" },
			/LOCAL_RANK is 3, but LOCAL_WORLD_SIZE is 2/,
		],
		[
			"a node with no workers",
			{ RANK: "0", WORLD_SIZE: "2", LOCAL_RANK: "0", LOCAL_WORLD_SIZE: "0" },
			/LOCAL_RANK is 0, but LOCAL_WORLD_SIZE is 0/,
		],
	];
	for (const [name, environment, message] of bad) {
		it(`refuses ${name}`, () => {
			const fits = (error: unknown) => isMillraceError(error, "invalid_argument") && message.test(error.message);
			assert.throws(() => placeFromEnvironment(environment), fits);
		});
	}
});

describe("launcherNotice", () => {
	it("says by whose names rank 0 knows its place", () => {
		const first = { ...slurm, SLURM_PROCID: "0", SLURM_NODEID: "0" };
		assert.equal(launcherNotice(first), "5 workers on 3 nodes, by Slurm (SLURM_PROCID, SLURM_STEP_NUM_TASKS)");
	});

	it("names the launcher that was passed over", () => {
		assert.equal(
			launcherNotice({ ...slurm, RANK: "0", WORLD_SIZE: "2", LOCAL_WORLD_SIZE: "2" }),
			"2 workers on one node, by torchrun (RANK, WORLD_SIZE); not by Slurm, set too",
		);
	});

	it("has nothing to say for other ranks, a single worker, and plain ranks", () => {
		assert.equal(launcherNotice(slurm), undefined);
		assert.equal(launcherNotice({ OMPI_COMM_WORLD_RANK: "0", OMPI_COMM_WORLD_SIZE: "1" }), undefined);
		assert.equal(launcherNotice({ RANK: "0", WORLD_SIZE: "2" }), undefined);
		assert.equal(launcherNotice({}), undefined);
	});
});
