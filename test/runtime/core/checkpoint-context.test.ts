import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { CheckpointState } from "../../../src/gen/millrace/v1/checkpoint_pb.js";
import { CheckpointService } from "../../../src/gen/millrace/v1/checkpoint_service_pb.js";
import { type CheckpointContext, type CoreContext, core } from "../../../src/runtime/index.js";
import { Client, type JsonObject } from "../../../src/sdk/index.js";
import { errorWith } from "../../support/error-with.js";
import { startServerElsewhere } from "../../support/start-server-elsewhere.js";
import { startTestServer } from "../../support/start-test-server.js";
import { startWorkers } from "../../support/start-workers.js";
import { tempDir } from "../../support/temp-dir.js";

const server = await startTestServer();
const client = new Client({ server: server.address });
after(() => client.close());

/** Runs a loop alone. */
const run = <T>(loop: (context: CoreContext) => Promise<T>) => core.init(loop, { server: server.address });
const steps = (count: number) => ({ steps_completed: count });

describe("CheckpointContext, alone", { timeout: 240_000 }, () => {
	it("stores what is written to a path, and gives a verified copy of it back", async () => {
		await run(async ({ checkpoint, info }) => {
			let given = "";
			const uuid = await checkpoint.storePath({ ...steps(3), note: "a" }, (path, ofPath) => {
				given = ofPath;
				mkdirSync(join(path, "nested"));
				writeFileSync(join(path, "nested/weights"), "123");
				writeFileSync(join(path, "config"), "{}");
			});
			assert.equal(uuid, given);
			const stored = await client.getCheckpoint(uuid);
			assert.deepEqual(
				[stored.state, stored.trialId, stored.metadata],
				["COMPLETED", info.trialId, { ...steps(3), note: "a" }],
			);
			assert.deepEqual(stored.resources, { config: 2, "nested/weights": 3 });
			assert.deepEqual(await checkpoint.getMetadata(uuid), { ...steps(3), note: "a" });

			let place = "";
			const read = await checkpoint.restorePath(uuid, (path) => {
				place = path;
				writeFileSync(join(path, "config"), "changed");
				return readFileSync(join(path, "nested/weights"), "utf8");
			});
			assert.deepEqual([read, existsSync(place)], ["123", false]);
			const selector = (path: string) => path === "config";
			const copy = await checkpoint.download(uuid, join(tempDir(), "copy"), { selector });
			assert.deepEqual([readdirSync(copy), readFileSync(join(copy, "config"), "utf8")], [["config"], "{}"]);
		});
	});

	it("uploads the files of a directory that are selected, and leaves them where they are", async () => {
		await run(async ({ checkpoint }) => {
			const directory = tempDir();
			writeFileSync(join(directory, "model.onnx"), "model");
			writeFileSync(join(directory, "notes.txt"), "notes");
			const selector = (path: string) => path.endsWith(".onnx");
			const uuid = await checkpoint.upload(directory, steps(1), { selector });
			assert.deepEqual((await client.getCheckpoint(uuid)).resources, { "model.onnx": 5 });
			assert.deepEqual(readdirSync(directory).sort(), ["model.onnx", "notes.txt"]);
		});
	});

	it("copies what a link in the path leads to, which stays where it is", async () => {
		await run(async ({ checkpoint }) => {
			const elsewhere = join(tempDir(), "weights");
			writeFileSync(elsewhere, "123");
			const uuid = await checkpoint.storePath(steps(1), (path) => symlinkSync(elsewhere, join(path, "weights")));
			assert.deepEqual((await client.getCheckpoint(uuid)).resources, { weights: 3 });
			assert.equal(readFileSync(elsewhere, "utf8"), "123");
		});
	});

	it("is asked to delete files, and the server refuses while a model version needs them (F.36)", async () => {
		await run(async ({ checkpoint }) => {
			const write = (path: string) => {
				writeFileSync(join(path, "a.txt"), "a");
				writeFileSync(join(path, "b.bin"), "b");
			};
			const uuid = await checkpoint.storePath(steps(1), write);
			const model = await client.createModel("kept");
			await model.registerVersion(uuid);
			await assert.rejects(checkpoint.delete(uuid), errorWith("failed_precondition", /registered to kept/));
			const copy = await checkpoint.download(uuid, join(tempDir(), "copy"));
			assert.deepEqual(readdirSync(copy).sort(), ["a.txt", "b.bin"]);

			const other = await checkpoint.storePath(steps(2), write);
			await checkpoint.delete(other, ["*.txt"]);
			const left = await client.getCheckpoint(other);
			assert.deepEqual([left.state, left.resources], ["PARTIALLY_DELETED", { "b.bin": 1 }]);
			await checkpoint.delete(other);
			assert.equal((await client.getCheckpoint(other)).state, "DELETED");
			await assert.rejects(
				checkpoint.restorePath(other, () => {}),
				errorWith("failed_precondition", /is DELETED and has no files/),
			);
		});
	});

	it("stores nothing when the writing fails, and the loop may go on", async () => {
		const uuids = await run(async ({ checkpoint }) => {
			let failed = "";
			const write = (path: string, uuid: string) => {
				failed = uuid;
				writeFileSync(join(path, "half"), "half");
				throw new Error("planted");
			};
			await assert.rejects(checkpoint.storePath(steps(1), write), /planted/);
			return [failed, await checkpoint.storePath(steps(2), (path) => writeFileSync(join(path, "a"), "a"))];
		});
		const states = await Promise.all((uuids ?? []).map(async (uuid) => (await client.getCheckpoint(uuid)).state));
		assert.deepEqual(states, ["ERROR", "COMPLETED"]);
		assert.equal(existsSync(join(server.dataDirectory, "storage", uuids?.[0] ?? "")), false);
	});

	const wrong: [string, (checkpoint: CheckpointContext) => unknown, RegExp][] = [
		[
			"a mistyped option",
			(c) => c.upload(".", { steps_completed: 1 }, { shards: true } as object),
			/unknown option shards/,
		],
		["a flag in place of options", (c) => c.upload(".", { steps_completed: 1 }, true as never), /\{ shard: true \}/],
		["metadata without steps", (c) => c.storePath({}, () => {}), /must have steps_completed, a whole number/],
		["half a step", (c) => c.storePath(steps(0.5), () => {}), /metadata\.steps_completed is 0\.5/],
		["metadata that is none", (c) => c.storePath([] as unknown as JsonObject, () => {}), /metadata is an Array/],
		["a path without files", (c) => c.storePath(steps(1), () => {}), /no file was stored/],
		["a directory without files", (c) => c.upload(null, steps(1)), /no file was stored/],
		[
			"an unknown way to download",
			(c) => c.restorePath("", () => {}, { downloadMode: "Never" as "NoSharedDownload" }),
			/downloadMode is "Never"/,
		],
	];
	it("refuses what is malformed", async () => {
		await run(async ({ checkpoint }) => {
			for (const [what, call, message] of wrong) {
				await assert.rejects(async () => call(checkpoint), errorWith("invalid_argument", message), what);
			}
		});
	});
});

async function newTrial(): Promise<number> {
	const experiment = await client.createExperiment({ name: "test", entrypoint: "test" });
	return (await client.createTrial(experiment.id, { maxRestarts: 5 })).id;
}

/** Runs workers to their end, and returns how each ended. */
async function work(
	trialId: number,
	world: number,
	options: object,
	worker = "core-worker.ts",
	address = server.address,
) {
	const workers = startWorkers({ server: address, world, trialId, worker, options });
	after(() => workers.forEach(({ process }) => void process.kill("SIGKILL")));
	return Promise.all(workers.map(({ ended }) => ended));
}

/** Checks that each checkpoint of a trial is COMPLETED and whole, or has no files. Returns how many are COMPLETED. */
async function assertWholeOrNot(trialId: number): Promise<number> {
	let completed = 0;
	const { checkpoints } = await server.client(CheckpointService).listCheckpoints({ trialId });
	for (const { uuid, state, files } of checkpoints) {
		if (state !== CheckpointState.COMPLETED) {
			assert.deepEqual(files, []);
		} else {
			const copy = await client.getCheckpoint(uuid).download(join(tempDir(), uuid));
			assert.deepEqual(readdirSync(copy).sort(), ["metadata.json", "part-0", "part-1"]);
			completed++;
		}
	}
	return completed;
}

describe("CheckpointContext, with shards", { timeout: 240_000 }, () => {
	it("puts the files and the metadata of all ranks together, which more or fewer ranks restore", async () => {
		const trialId = await newTrial();
		const options = { steps: 4, every: 2, shard: true, fail: { step: 3, rank: 0, run: 1 } };
		const [first] = await work(trialId, 2, options);
		const uuid = String(first?.lines.find(({ call }) => call === "stored")?.results?.uuid);
		const stored = await client.getCheckpoint(uuid);
		assert.deepEqual(Object.keys(stored.resources).sort(), ["part-0", "part-1"]);
		assert.deepEqual(stored.metadata, { steps_completed: 2, workers: 2 });
		for (const { code, lines, stderr } of await work(trialId, 3, options)) {
			assert.deepEqual([code, lines.at(-1)?.results?.returned], [0, 10], stderr);
			assert.equal(lines[0]?.results?.latest, uuid);
		}
	});

	it("refuses different files of one path, naming the ranks, and goes on with the same files of both", async () => {
		const ended = await work(await newTrial(), 2, {}, "shards-worker.ts");
		for (const { code, lines, stderr } of ended) {
			assert.equal(code, 0, stderr);
			assert.deepEqual(lines[0], {
				files:
					'rank 0 and rank 1 have stored different files as "own"; give each its own name, such as one with the rank',
				metadata:
					'metadata.note is "rank 0" on rank 0, but "rank 1" on rank 1; give it on one of them, or the same on both',
				restored: ["both", "own-0", "own-1"],
			});
		}
		const alone = ended.map(({ lines }) => lines[1] as { alone?: string });
		assert.match(alone[1]?.alone ?? "", /storePath was called on rank 1; without shard: true only the chief/);
		assert.equal(new Set(ended.map(({ lines }) => (lines[2] as { directory?: string }).directory)).size, 1);
	});

	it("is whole or not COMPLETED, whenever a rank is killed while it is stored", async () => {
		const trialId = await newTrial();
		const instants = [0, 2, 5, 10, 20, 40];
		for (const [i, afterMs] of instants.entries()) {
			const kill = { step: 2, rank: i % 2, run: i + 1, afterMs };
			await work(trialId, 2, { steps: 2, every: 2, shard: true, kill });
			await assertWholeOrNot(trialId);
			if ((await client.getTrial(trialId)).state === "COMPLETED") {
				return;
			}
		}
		for (const { code, stderr } of await work(trialId, 2, { steps: 2, every: 2, shard: true })) {
			assert.equal(code, 0, stderr);
		}
		assert.ok((await assertWholeOrNot(trialId)) > 0);
	});
});

describe("CheckpointContext, where the server's storage is not seen", { timeout: 240_000 }, () => {
	it("stores and restores through the server", async () => {
		const { address, storage } = await startServerElsewhere();
		await core.init(
			async ({ checkpoint }) => {
				const written = await checkpoint.storePath(steps(1), (path) => {
					mkdirSync(join(path, "nested"));
					writeFileSync(join(path, "nested/weights"), "123");
					writeFileSync(join(path, "empty"), "");
				});
				assert.equal(readFileSync(join(storage, written, "nested/weights"), "utf8"), "123");
				const read = await checkpoint.restorePath(written, (path) =>
					readFileSync(join(path, "nested/weights"), "utf8"),
				);
				assert.equal(read, "123");

				const directory = tempDir();
				writeFileSync(join(directory, "model.onnx"), "model");
				const uploaded = await checkpoint.upload(directory, steps(2));
				assert.deepEqual(readdirSync(join(storage, uploaded)), ["model.onnx"]);
				const copy = await checkpoint.download(uploaded, join(tempDir(), "copy"));
				assert.equal(readFileSync(join(copy, "model.onnx"), "utf8"), "model");
			},
			{ server: address },
		);
		assert.equal(existsSync("/proc/self/cwd/data"), false);
	});

	it("stores and restores the shards of all ranks through the server", async () => {
		const { address, storage } = await startServerElsewhere();
		const remote = new Client({ server: address });
		after(() => remote.close());
		const experiment = await remote.createExperiment({ name: "test", entrypoint: "test" });
		const { id } = await remote.createTrial(experiment.id);
		const ended = await work(id, 2, {}, "shards-worker.ts", address);
		for (const { code, lines, stderr } of ended) {
			assert.equal(code, 0, stderr);
			assert.deepEqual((lines[0] as { restored?: string[] }).restored, ["both", "own-0", "own-1"]);
		}
		const [stored] = await remote.getTrial(id).listCheckpoints();
		assert.deepEqual(Object.keys(stored?.resources ?? {}), ["both", "own-0", "own-1"]);
		// What failed before is given up, and leaves no file.
		assert.deepEqual(readdirSync(storage), [stored?.uuid]);
	});

	it("stores past a server that does not reach the storage, and says so where nobody does", async (t) => {
		const { address } = await startServerElsewhere();
		const [home, other] = [process.cwd(), tempDir()];
		t.after(() => process.chdir(home));
		process.chdir(other);
		mkdirSync("mnt");
		const config = { checkpoint_storage: { type: "shared_fs", host_path: "/proc/self/cwd/mnt" } };
		const write = (path: string) => writeFileSync(join(path, "a"), "123");
		await core.init(
			async ({ checkpoint }) => {
				const uuid = await checkpoint.storePath(steps(1), write);
				assert.equal(readFileSync(join(other, "mnt", uuid, "a"), "utf8"), "123");
				assert.equal(await checkpoint.restorePath(uuid, (path) => readFileSync(join(path, "a"), "utf8")), "123");
				rmSync("mnt", { recursive: true });
				const refused = errorWith("failed_precondition", /^neither this worker \(.*mnt.* nor the server \(.*mnt/);
				await assert.rejects(checkpoint.storePath(steps(2), write), refused);
			},
			{ server: address, config },
		);
	});
});
