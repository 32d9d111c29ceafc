import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { CheckpointService } from "../../src/gen/millrace/v1/checkpoint_service_pb.js";
import { type Checkpoint, Client } from "../../src/sdk/index.js";
import { openStorage } from "../../src/storage/open-storage.js";
import { partFile, partsDirectory } from "../../src/storage/part-file.js";
import { writeTree } from "../storage/storage-manager-suite.js";
import { startCutProxy } from "../support/cut-proxy.js";
import { errorWith } from "../support/error-with.js";
import { startCommand } from "../support/start-command.js";
import { startServerElsewhere } from "../support/start-server-elsewhere.js";
import { startTestServer, type TestServer } from "../support/start-test-server.js";
import { tempDir } from "../support/temp-dir.js";

const mib = 1024 * 1024;
const script = fileURLToPath(new URL("scripts/transfer-until.ts", import.meta.url));

/** Bytes that do not repeat, so that a piece at a wrong place is seen. */
const bytesOf = (size: number, seed: string) => {
	const block = Buffer.alloc(64 * 1024);
	return Buffer.concat(
		Array.from({ length: Math.ceil(size / block.length) }, (_, i) =>
			Buffer.from(block.fill(createHash("sha256").update(`${seed}${i}`).digest())),
		),
	).subarray(0, size);
};

const large = bytesOf(24 * mib + 17, "large");
const small = bytesOf(3 * mib, "small");

/** Writes files of several pieces, an empty one, and one in a directory. */
function largeModel(): string {
	const directory = writeTree(tempDir(), { "empty.bin": "", "tokens/vocab.txt": "a" });
	writeFileSync(join(directory, "a-small.bin"), small);
	writeFileSync(join(directory, "model.bin"), large);
	return directory;
}

function assertWhole(directory: string): void {
	assert.ok(large.equals(readFileSync(join(directory, "model.bin"))));
	assert.ok(small.equals(readFileSync(join(directory, "a-small.bin"))));
	assert.equal(readFileSync(join(directory, "empty.bin"), "utf8"), "");
	assert.equal(readFileSync(join(directory, "tokens/vocab.txt"), "utf8"), "a");
	assert.equal(existsSync(join(directory, partsDirectory)), false);
}

function clientOf(address: string): Client {
	const client = new Client({ server: address });
	after(() => client.close());
	return client;
}

async function directoryOf(server: TestServer, uuid: string): Promise<string> {
	const { checkpoint } = await server.client(CheckpointService).getCheckpoint({ checkpointUuid: uuid });
	return openStorage(checkpoint?.storage).directory(uuid);
}

/** Runs a transfer in a process of its own, which kills itself when parts in `directory` have `limit` bytes. */
async function transferUntil(
	args: [address: string, what: "download" | "upload", subject: string, place: string, directory: string],
	limit: number,
	mode: "direct" | "master",
): Promise<void> {
	const command = startCommand(
		process.execPath,
		["--import", import.meta.resolve("tsx"), script, ...args, `${limit}`],
		{
			env: { TRANSFER_MODE: mode },
		},
	);
	const { signal, stderr } = await command.ended;
	assert.equal(signal, "SIGKILL", stderr);
}

describe("Checkpoint files, where the server's storage is not seen", { timeout: 240_000 }, () => {
	it("go through the server, both ways, and are whole", async () => {
		const { address, storage } = await startServerElsewhere();
		const client = clientOf(address);
		const source = largeModel();
		const checkpoint = await client.uploadCheckpoint(source, { metadata: { epoch: 1 } });
		assert.equal(checkpoint.state, "COMPLETED");
		assertWhole(join(storage, checkpoint.uuid));
		assert.equal(existsSync("/proc/self/cwd/data"), false);
		const target = await checkpoint.download(join(tempDir(), "copy"));
		assertWhole(target);
		await assert.rejects(checkpoint.download(tempDir(), { mode: "direct" }), { code: "failed_precondition" });
		await assert.rejects(client.uploadCheckpoint(source, { mode: "direct" }), { code: "failed_precondition" });

		// A reused one whose files are gone gets them back the same way.
		const reuse = () => client.uploadCheckpoint(source, { reuse: true });
		rmSync(join(storage, checkpoint.uuid, "model.bin"));
		assert.equal((await reuse()).uuid, checkpoint.uuid);
		assertWhole(join(storage, checkpoint.uuid));
	});

	it("do not go to or come from a directory of the same name", async (t) => {
		const { address, storage } = await startServerElsewhere();
		const client = clientOf(address);
		const { uuid } = await client.uploadCheckpoint(largeModel());
		const [home, other] = [process.cwd(), tempDir()];
		t.after(() => process.chdir(home));
		process.chdir(other);
		// As long, but of other content: what is copied is verified.
		const files = { "empty.bin": "", "tokens/vocab.txt": "b" };
		const own = writeTree(join(other, "data/storage", uuid), files);
		writeFileSync(join(own, "a-small.bin"), Buffer.alloc(small.length));
		writeFileSync(join(own, "model.bin"), Buffer.alloc(large.length));
		assertWhole(await client.getCheckpoint(uuid).download(join(tempDir(), "copy")));
		rmSync(join(own, "model.bin"));
		assertWhole(await client.getCheckpoint(uuid).download(join(tempDir(), "copy")));
		const uploaded = await client.uploadCheckpoint(largeModel());
		assertWhole(join(storage, uploaded.uuid));
		assert.deepEqual(readdirSync(join(other, "data/storage")), [uuid]);
	});
});

describe("Checkpoint.download", { timeout: 240_000 }, () => {
	const setup = async () => {
		const server = await startTestServer();
		const client = clientOf(server.address);
		const checkpoint = await client.uploadCheckpoint(largeModel());
		return { server, client, checkpoint, stored: await directoryOf(server, checkpoint.uuid) };
	};

	for (const mode of ["direct", "master"] as const) {
		it(`completes after it was killed at any place, and gives no name to what is not whole: ${mode}`, async () => {
			const { server, checkpoint } = await setup();
			const target = join(tempDir(), "copy");
			const kill = (limit: number) =>
				transferUntil([server.address, "download", checkpoint.uuid, target, target], limit, mode);
			// In the first file, in the second one, and when that is there as a whole but for its name.
			for (const limit of [1, small.length + 1, large.length / 2, large.length]) {
				await kill(limit);
				assert.equal(existsSync(join(target, "model.bin")), false);
				assert.equal(existsSync(join(target, "metadata.json")), false);
			}
			assert.equal(await checkpoint.download(target, { mode }), target);
			assertWhole(target);
		});

		it(`goes on with the bytes that are there: ${mode}`, async () => {
			const { checkpoint, stored } = await setup();
			const target = tempDir();
			const entry = {
				path: "model.bin",
				sizeBytes: large.length,
				sha256: createHash("sha256").update(large).digest("hex"),
			};
			await partFile(target, entry).write(0, large.subarray(0, 20 * mib));
			// Were they read again, the copy would not be right.
			writeFileSync(join(stored, "model.bin"), Buffer.concat([Buffer.alloc(20 * mib), large.subarray(20 * mib)]));
			assertWhole(await checkpoint.download(target, { mode }));
		});

		it(`starts a file anew where what was there is not right: ${mode}`, async () => {
			const { checkpoint } = await setup();
			const target = tempDir();
			const entry = {
				path: "model.bin",
				sizeBytes: large.length,
				sha256: createHash("sha256").update(large).digest("hex"),
			};
			await partFile(target, entry).write(0, Buffer.alloc(20 * mib));
			assertWhole(await checkpoint.download(target, { mode }));
		});

		it(`leaves no file of its name where the stored one is short or corrupted: ${mode}`, async () => {
			const { checkpoint, stored } = await setup();
			const target = tempDir();
			const damaged = Buffer.from(large);
			damaged[12 * mib] = (damaged[12 * mib] ?? 0) ^ 1;
			writeFileSync(join(stored, "model.bin"), damaged);
			await assert.rejects(checkpoint.download(target, { mode }), errorWith("data_loss", /model\.bin is corrupted/));
			truncateSync(join(stored, "model.bin"), 12 * mib);
			await assert.rejects(checkpoint.download(target, { mode }), errorWith("data_loss", /has 12582912 bytes, but/));
			rmSync(join(stored, "model.bin"));
			const code = mode === "direct" ? "not_found" : "data_loss";
			await assert.rejects(checkpoint.download(target, { mode }), errorWith(code, /model\.bin/));
			assert.equal(existsSync(join(target, "model.bin")), false);
		});
	}

	it("goes on where the connection was cut, through the server (F.45)", async () => {
		const { server, checkpoint } = await setup();
		const proxy = await startCutProxy(server.address);
		const remote = await clientOf(proxy.address).getCheckpoint(checkpoint.uuid);
		const target = tempDir();
		let isDone = false;
		const download = remote.download(target, { mode: "master" }).finally(() => {
			isDone = true;
		});
		let cuts = 0;
		const parts = join(target, partsDirectory);
		while (!isDone) {
			await new Promise((resolve) => setTimeout(resolve, 1));
			if (cuts < 3 && existsSync(parts) && readdirSync(parts).length > 0) {
				proxy.cut("reset");
				cuts++;
				await new Promise((resolve) => setTimeout(resolve, 50));
				proxy.resume();
			}
		}
		assert.equal(await download, target);
		assert.ok(cuts > 0);
		assertWhole(target);
	});

	it("is done by two at once to the same directory", async () => {
		const { client, checkpoint } = await setup();
		const target = tempDir();
		const other: Checkpoint = await client.getCheckpoint(checkpoint.uuid);
		await Promise.all([
			checkpoint.download(target, { mode: "master" }),
			other.download(target, { mode: "direct" }),
			client.getCheckpoint(checkpoint.uuid).download(target),
		]);
		assertWhole(target);
	});
});

describe("Client.uploadCheckpoint", { timeout: 240_000 }, () => {
	it("goes on with what a killed one has sent through the server, with reuse", async () => {
		const server = await startTestServer();
		const client = clientOf(server.address);
		const source = largeModel();
		const storage = join(server.dataDirectory, "storage");
		for (const limit of [1, large.length / 2]) {
			await transferUntil([server.address, "upload", "", source, storage], limit, "master");
		}
		const [begun] = readdirSync(storage);
		const checkpoint = await client.uploadCheckpoint(source, { reuse: true, mode: "master" });
		assert.deepEqual(readdirSync(storage), [checkpoint.uuid]);
		assert.equal(checkpoint.uuid, begun);
		assertWhole(join(storage, checkpoint.uuid));
	});

	it("goes on directly with what a killed one has sent through the server", async () => {
		const server = await startTestServer();
		const source = largeModel();
		const storage = join(server.dataDirectory, "storage");
		await transferUntil([server.address, "upload", "", source, storage], large.length / 2, "master");
		const checkpoint = await clientOf(server.address).uploadCheckpoint(source, { reuse: true });
		assertWhole(join(storage, checkpoint.uuid));
	});

	it("leaves no ACTIVE checkpoint and no file when it fails", async () => {
		const server = await startTestServer();
		const client = clientOf(server.address);
		const storage = join(server.dataDirectory, "storage");
		for (const mode of ["direct", "master"] as const) {
			const source = largeModel();
			const upload = client.uploadCheckpoint(source, { mode });
			// Listed and digested already when the storage gets its directory, it is shorter when it is copied.
			while (readdirSync(storage).length === 0) {
				await new Promise((resolve) => setTimeout(resolve, 1));
			}
			truncateSync(join(source, "model.bin"), 5);
			await assert.rejects(upload, errorWith("aborted", /model\.bin changed while it was uploaded; upload it again/));
			assert.deepEqual(readdirSync(storage), []);
		}
		const { checkpoints } = await server.client(CheckpointService).listCheckpoints({});
		assert.deepEqual(
			checkpoints.map(({ state }) => state),
			[3, 3],
		);
	});

	it("takes no other mode", async () => {
		const client = clientOf((await startTestServer()).address);
		const mode = "both" as "auto";
		const refused = errorWith("invalid_argument", /mode is "both"; it must be "auto", "direct" or "master"/);
		await assert.rejects(client.uploadCheckpoint(largeModel(), { mode }), refused);
	});
});
