import assert from "node:assert/strict";
import { createHash, randomUUID } from "node:crypto";
import { existsSync, readFileSync, renameSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { CheckpointService } from "../../../src/gen/millrace/v1/checkpoint_service_pb.js";
import { openStorage } from "../../../src/storage/open-storage.js";
import { partsDirectory } from "../../../src/storage/part-file.js";
import { errorWith } from "../../support/error-with.js";
import { startTestServer } from "../../support/start-test-server.js";

const content = Buffer.alloc(40 * 1024 * 1024, "0123456789");
const file = {
	path: "deep/model.bin",
	sizeBytes: BigInt(content.length),
	sha256: createHash("sha256").update(content).digest("hex"),
};
const pieceBytes = 4 * 1024 * 1024;

async function setup() {
	const server = await startTestServer();
	const checkpoints = server.client(CheckpointService);
	const { checkpoint } = await checkpoints.createCheckpoint({});
	const checkpointUuid = checkpoint?.uuid ?? "";
	const directory = openStorage(checkpoint?.storage).directory(checkpointUuid);
	const write = (offset: number, size: number, other = {}) =>
		checkpoints.writeCheckpointFile({
			checkpointUuid,
			file,
			offset: BigInt(offset),
			data: content.subarray(offset, offset + size),
			...other,
		});
	const writeAll = async () => {
		for (let offset = 0; offset < content.length; offset += pieceBytes) {
			await write(offset, pieceBytes);
		}
	};
	return { server, checkpoints, checkpointUuid, directory, write, writeAll };
}

describe("CheckpointService.writeCheckpointFile", { timeout: 120_000 }, () => {
	it("puts a file together of pieces, sent again or not, and names it when it is whole", async () => {
		const { checkpoints, checkpointUuid, directory, write, writeAll } = await setup();
		assert.deepEqual((await write(0, 0)).sizeBytes, 0n);
		assert.deepEqual((await write(0, 1000)).sizeBytes, 1000n);
		assert.deepEqual((await write(0, 1000)).sizeBytes, 1000n);
		assert.deepEqual((await write(500, 1000)).sizeBytes, 1500n);
		await assert.rejects(write(1501, 10), errorWith("out_of_range", /begins at byte 1501, but only 1500 are there/));
		await assert.rejects(
			checkpoints.completeCheckpoint({ checkpointUuid, files: [file] }),
			errorWith("failed_precondition", /"deep\/model\.bin" of checkpoint \S+ has not come over the wire as a whole/),
		);
		assert.equal(existsSync(join(directory, file.path)), false);
		await writeAll();
		assert.equal((await write(0, 0)).complete, true);
		assert.ok(content.equals(readFileSync(join(directory, file.path))));
		await checkpoints.completeCheckpoint({ checkpointUuid, files: [file] });
		assert.equal(existsSync(join(directory, partsDirectory)), false);
		assert.equal((await write(0, 0)).complete, true);
		const other = { file: { ...file, path: "other" } };
		await assert.rejects(write(0, 0, other), errorWith("failed_precondition", /is COMPLETED; only files of an ACTIVE/));
	});

	it("starts a file anew whose digest differs", async () => {
		const { write } = await setup();
		const wrong = { file: { path: "a", sizeBytes: 5n, sha256: "0".repeat(64) } };
		await assert.rejects(write(0, 5, wrong), errorWith("data_loss", /a is corrupted/));
		assert.equal((await write(0, 0, wrong)).sizeBytes, 0n);
	});

	it("keeps the files of a directory under whose name a file had begun to come", async () => {
		const { checkpoints, checkpointUuid, directory, write } = await setup();
		const small = (path: string) => ({ file: { path, sizeBytes: 10n, sha256: sha256Of("0123456789") } });
		await write(0, 5, small("a"));
		await write(0, 5, small("c/d"));
		await write(0, 10, small("a/b"));
		await write(0, 10, small("c"));
		const files = [small("a/b").file, small("c").file];
		await checkpoints.completeCheckpoint({ checkpointUuid, files });
		assert.equal(readFileSync(join(directory, "a/b"), "utf8"), "0123456789");
		assert.equal(readFileSync(join(directory, "c"), "utf8"), "0123456789");
		assert.equal(existsSync(join(directory, partsDirectory)), false);
	});

	it("refuses malformed pieces, and places that are not for files", async () => {
		const { checkpoints, checkpointUuid, write } = await setup();
		const refused = (piece: Promise<unknown>, message: RegExp) =>
			assert.rejects(piece, errorWith("invalid_argument", message));
		await refused(write(0, pieceBytes + 1), /data has 4194305 bytes; at most 4194304/);
		await refused(write(content.length - 1, 0, { data: Buffer.alloc(2) }), /data end at byte 41943041/);
		await refused(write(0, 0, { offset: -1n }), /offset is -1/);
		await refused(write(0, 0, { file: undefined }), /file is missing/);
		for (const path of ["../x", "/x", "", "a//b", "a\\b", `${partsDirectory}/x`, partsDirectory, "a\u0000"]) {
			await refused(write(0, 0, { file: { ...file, path } }), /file\.path is/);
		}
		await refused(
			write(0, 1, { file: { ...file, path: "n".repeat(5_000), sizeBytes: 1n, sha256: sha256Of("0") } }),
			/./,
		);
		await assert.rejects(write(0, 0, { checkpointUuid: randomUUID() }), errorWith("not_found", /not found/));
		await assert.rejects(
			checkpoints.completeCheckpoint({ checkpointUuid, files: [{ ...file, path: `${partsDirectory}/x` }] }),
			errorWith("invalid_argument", /files\[0\]\.path is/),
		);
	});
});

describe("CheckpointService.readCheckpointFile", { timeout: 120_000 }, () => {
	const read = async (stream: AsyncIterable<{ data: Uint8Array }>) => {
		const pieces: Uint8Array[] = [];
		for await (const { data } of stream) {
			assert.ok(data.length > 0 && data.length <= 1024 * 1024);
			pieces.push(data);
		}
		return Buffer.concat(pieces);
	};

	it("sends a file from any byte on, and ends a broken one with an error, never as if it were whole (F.45)", async () => {
		const { server, checkpoints, checkpointUuid, directory, writeAll } = await setup();
		await writeAll();
		await checkpoints.completeCheckpoint({ checkpointUuid, files: [file] });
		const from = (offset: number, path = file.path) =>
			checkpoints.readCheckpointFile({ checkpointUuid, path, offset: BigInt(offset) });
		assert.ok(content.equals(await read(from(0))));
		assert.ok(content.subarray(content.length - 7).equals(await read(from(content.length - 7))));
		assert.equal((await read(from(content.length))).length, 0);
		await assert.rejects(read(from(content.length + 1)), errorWith("out_of_range", /offset is 41943041/));
		await assert.rejects(read(from(0, "absent")), errorWith("not_found", /has no file "absent"/));
		const stored = join(directory, file.path);
		const broken = from(0)[Symbol.asyncIterator]();
		await broken.next();
		truncateSync(stored, 1024 * 1024);
		await assert.rejects(
			async () => {
				while (!(await broken.next()).done) {
					// What was on its way still comes.
				}
			},
			errorWith("data_loss", /were recorded/),
		);
		await assert.rejects(read(from(0)), errorWith("data_loss", /has 1048576 bytes, but 41943040 were recorded/));
		renameSync(stored, `${stored}.away`);
		await assert.rejects(read(from(0)), errorWith("data_loss", /model\.bin/));
		renameSync(join(server.dataDirectory, "storage"), join(server.dataDirectory, "away"));
		await assert.rejects(read(from(0)), errorWith("failed_precondition", /is not a directory on this machine/));
	});
});

function sha256Of(text: string): string {
	return createHash("sha256").update(text).digest("hex");
}
