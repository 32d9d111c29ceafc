import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { isMillraceError } from "../../../src/errors.js";
import { placeFromEnvironment } from "../../../src/runtime/distributed/environment.js";

describe("placeFromEnvironment", () => {
	it("is the only worker where nothing is set", () => {
		const alone = { rank: 0, size: 1, localRank: 0, localSize: 1, crossRank: 0, crossSize: 1 };
		assert.deepEqual(placeFromEnvironment({}), alone);
		assert.deepEqual(placeFromEnvironment({ RANK: "", WORLD_SIZE: "" }), alone);
	});

	it("reads torchrun's names", () => {
		const environment = {
			RANK: "5",
			WORLD_SIZE: "8",
			LOCAL_RANK: "1",
			LOCAL_WORLD_SIZE: "4",
			GROUP_RANK: "1",
			GROUP_WORLD_SIZE: "2",
		};
		const place = { rank: 5, size: 8, localRank: 1, localSize: 4, crossRank: 1, crossSize: 2 };
		assert.deepEqual(placeFromEnvironment(environment), place);
	});

	const launched: [string, NodeJS.ProcessEnv][] = [
		["Open MPI started (OMPI_COMM_WORLD_SIZE)", { OMPI_COMM_WORLD_SIZE: "4", OMPI_COMM_WORLD_RANK: "1" }],
		["Slurm started (SLURM_NTASKS)", { SLURM_NTASKS: "4", SLURM_PROCID: "0", PMI_SIZE: "4" }],
		["an MPI launcher started (PMI_SIZE)", { PMI_SIZE: "4" }],
	];
	for (const [who, environment] of launched) {
		it(`refuses to be the only worker where ${who} several`, () => {
			const message = `this process is one of 4 that ${who}, whose names this version does not read; set RANK and WORLD_SIZE`;
			assert.throws(() => placeFromEnvironment(environment), { code: "unimplemented", message });
			assert.equal(placeFromEnvironment({ ...environment, RANK: "1", WORLD_SIZE: "4" }).rank, 1);
		});
	}

	it("is the only worker of a launcher that started one, and in a Slurm allocation", () => {
		assert.equal(placeFromEnvironment({ OMPI_COMM_WORLD_SIZE: "1", PMI_SIZE: "1" }).size, 1);
		assert.equal(placeFromEnvironment({ SLURM_NTASKS: "4" }).size, 1);
	});

	const bad: [string, NodeJS.ProcessEnv, RegExp][] = [
		["a rank without a world size", { RANK: "0" }, /RANK is set but WORLD_SIZE is not/],
		["a world size without a rank", { WORLD_SIZE: "2" }, /WORLD_SIZE is set but RANK is not/],
		["a rank that is not below the world size", { RANK: "2", WORLD_SIZE: "2" }, /RANK is 2, but WORLD_SIZE is 2/],
		["a rank that is no number", { RANK: "one", WORLD_SIZE: "2" }, /RANK is "one"/],
		["a negative rank", { RANK: "-1", WORLD_SIZE: "2" }, /RANK is "-1"/],
		[
			"a local rank beyond the node",
			{ RANK: "0", WORLD_SIZE: "2", LOCAL_RANK: "3", LOCAL_WORLD_SIZE: "2" },
			/LOCAL_RANK/,
		],
	];
	for (const [name, environment, message] of bad) {
		it(`refuses ${name}`, () => {
			const fits = (error: unknown) => isMillraceError(error, "invalid_argument") && message.test(error.message);
			assert.throws(() => placeFromEnvironment(environment), fits);
		});
	}
});
