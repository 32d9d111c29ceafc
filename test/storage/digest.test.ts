import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { digestFile } from "../../src/storage/digest.js";
import { tempDir } from "../support/temp-dir.js";

describe("digestFile", { timeout: 30_000 }, () => {
	it("returns size and SHA-256 of a file, or of its beginning", async () => {
		const path = join(tempDir(), "file");
		const bytes = Buffer.alloc(3 * 1024 * 1024 + 1, "0123456789");
		writeFileSync(path, bytes);
		const sha256 = (limit: number) => createHash("sha256").update(bytes.subarray(0, limit)).digest("hex");
		assert.deepEqual(await digestFile(path), { sizeBytes: bytes.length, sha256: sha256(bytes.length) });
		assert.deepEqual(await digestFile(path, 2_000_000), { sizeBytes: 2_000_000, sha256: sha256(2_000_000) });
		assert.deepEqual(await digestFile(path, 0), { sizeBytes: 0, sha256: sha256(0) });
	});

	it("throws not_found naming a file that is not there", async () => {
		const path = join(tempDir(), "absent");
		await assert.rejects(digestFile(path), { code: "not_found", message: new RegExp(`cannot read ${path}`) });
	});
});
