import assert from "node:assert/strict";
import { mkdirSync, readdirSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import { MillraceError } from "../../src/errors.js";
import { MemberSchema } from "../../src/gen/millrace/v1/trial_pb.js";
import { openTrialDirectory } from "../../src/runtime/trial-directory.js";
import type { JsonObject } from "../../src/sdk/json.js";
import { directoryStorage } from "../../src/storage/directory.js";
import { attendRanks } from "../rendezvous/attend-ranks.js";
import { tempDir } from "../support/temp-dir.js";
import { useTestClient } from "../support/use-test-client.js";

const uuid = "0f8fad5b-d9cb-469f-a165-70867728950e";

describe("openTrialDirectory", { timeout: 60_000 }, () => {
	const test = useTestClient();

	/** Lets the ranks of a run open the trial's directory, two on each node, each node on a storage of these. */
	async function openOn(nodes: readonly string[], config: JsonObject = {}) {
		const experiment = await test.client.createExperiment({ name: "test", entrypoint: "test" });
		const trialId = (await test.client.createTrial(experiment.id)).id;
		const worldSize = nodes.length * 2;
		const members = await attendRanks([test.address], { trialId, worldSize });
		return Promise.allSettled(
			members.map((rendezvous, rank) => {
				const [crossRank, localRank] = [Math.floor(rank / 2), rank % 2];
				const place = { rank, size: worldSize, localRank, localSize: 2, crossRank, crossSize: nodes.length };
				const memberUuid = `00000000-0000-4000-8000-00000000000${rank}`;
				const member = create(MemberSchema, { trialId, trialRunId: 1, rank, memberUuid });
				const storage = directoryStorage({ containerPath: nodes[crossRank] ?? "" });
				return openTrialDirectory({ rendezvous, member, config }, storage, uuid, place);
			}),
		);
	}

	it("makes the directory, and leaves no probe in it, where all nodes share the storage", async () => {
		const first = tempDir();
		const second = join(tempDir(), "mounted");
		symlinkSync(first, second);
		const opened = await openOn([first, second]);
		const paths = [first, first, second, second].map((root) => join(root, uuid));
		assert.deepEqual(
			opened.map((result) => (result.status === "fulfilled" ? result.value : result.reason)),
			paths,
		);
		assert.deepEqual(readdirSync(join(first, uuid)), []);
	});

	const cases: [string, JsonObject, RegExp][] = [
		[
			"the trial has none of its own",
			{},
			/it is the server's own, so set checkpoint_storage .* type shared_fs, and as host_path/,
		],
		[
			"its checkpoint_storage is mounted on some only",
			{ checkpoint_storage: { type: "shared_fs", host_path: "/mnt" } },
			/mount the file system of its checkpoint_storage under the same path on every node$/,
		],
	];
	for (const [name, config, remedy] of cases) {
		it(`tells all workers which nodes do not share the storage, and what to do, where ${name}`, async () => {
			const shared = tempDir();
			const own = tempDir();
			// What an earlier run made on the node itself is no proof.
			mkdirSync(join(own, uuid));
			const opened = await openOn([shared, own, shared], config);
			for (const result of opened) {
				assert.ok(result.status === "rejected");
				assert.ok(result.reason instanceof MillraceError);
				assert.equal(result.reason.code, "failed_precondition");
				assert.match(result.reason.message, /^the nodes do not share the trial's storage .*rank 0 on host-0 made/);
				assert.match(result.reason.message, /: node 1 does not see it \(rank 2 on host-2\); /);
				assert.match(result.reason.message, remedy);
				assert.doesNotMatch(result.reason.message, /node [02]/);
			}
			assert.deepEqual(readdirSync(join(shared, uuid)), []);
		});
	}

	it("asks nobody where there is one node", async () => {
		const root = tempDir();
		const [only, ...others] = await openOn([root]);
		assert.equal(only?.status === "fulfilled" && only.value, join(root, uuid));
		assert.equal(others.length, 1);
	});
});
