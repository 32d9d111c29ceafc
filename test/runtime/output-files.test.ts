import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { appendFile, mkdir, open, rm, symlink, truncate, writeFile } from "node:fs/promises";
import path from "node:path";
import { describe, it } from "node:test";
import type { StoredFile } from "../../src/gen/millrace/v1/storage_pb.js";
import { OutputFiles } from "../../src/runtime/output-files.js";
import { tempDir } from "../support/temp-dir.js";

const NAME = "r2-w1-p0-b7";

async function outputs() {
	const trialDirectory = path.join(tempDir(), "storage", "trial");
	const files = new OutputFiles({ trialDirectory, trialRunId: 2, rank: 1, part: 0, member: "b7" });
	const isUnused = !existsSync(trialDirectory);
	const directory = await files.directory();
	const at = (name: string) => path.join(directory, name);
	return { files, directory, at, trialDirectory, isUnused };
}

function plain(stored: readonly StoredFile[]) {
	return stored.map(({ path, sizeBytes, sha256 }) => ({ path, sizeBytes, sha256 }));
}

function described(trialDirectory: string, file: string) {
	const content = readFileSync(path.join(trialDirectory, file));
	return { path: file, sizeBytes: BigInt(content.length), sha256: createHash("sha256").update(content).digest("hex") };
}

/** Overwrites bytes in place, so that the size stays. */
async function overwrite(file: string, position: number, text: string): Promise<void> {
	const handle = await open(file, "r+");
	await handle.write(text, position);
	await handle.close();
}

describe("OutputFiles", { timeout: 60_000 }, () => {
	it("makes its directory only when it is asked for", async () => {
		const { files, directory, trialDirectory, isUnused } = await outputs();
		assert.equal(isUnused, true);
		assert.equal(directory, path.join(trialDirectory, NAME));
		assert.deepEqual(await files.collect(), []);
		const unused = new OutputFiles({ trialDirectory, trialRunId: 2, rank: 2, part: 0, member: "c" });
		assert.deepEqual(await unused.collect(true), []);
		assert.equal(existsSync(path.join(trialDirectory, unused.name)), false);
	});

	it("collects what is new or has grown, with size and digest, and nothing twice", async () => {
		const { files, at, trialDirectory } = await outputs();
		await mkdir(at("deep/er"), { recursive: true });
		await writeFile(at("a.txt"), "a".repeat(200_000));
		await writeFile(at("deep/er/b.txt"), "b");
		await writeFile(at("empty"), "");
		const all = [`${NAME}/a.txt`, `${NAME}/deep/er/b.txt`, `${NAME}/empty`];
		assert.deepEqual(
			plain(await files.collect()),
			all.map((file) => described(trialDirectory, file)),
		);
		assert.deepEqual(await files.collect(), []);
		assert.deepEqual(await files.collect(true), []);
		await appendFile(at("a.txt"), "more");
		await appendFile(at("empty"), "no longer");
		assert.deepEqual(plain(await files.collect()), [
			described(trialDirectory, `${NAME}/a.txt`),
			described(trialDirectory, `${NAME}/empty`),
		]);
		await appendFile(at("a.txt"), "and more");
		assert.deepEqual(plain(await files.collect(true)), [described(trialDirectory, `${NAME}/a.txt`)]);
	});

	it("refuses a committed file that shrank, disappeared, or changed at its beginning or end", async () => {
		for (const [change, message] of [
			[(file: string) => truncate(file, 10), "shrank from 200000 to 10 bytes"],
			[(file: string) => rm(file), "has disappeared"],
			[(file: string) => overwrite(file, 0, "x"), "changed within its first 200000 bytes"],
			[(file: string) => overwrite(file, 199_999, "x"), "changed within its first 200000 bytes"],
			[(file: string) => writeFile(file, "x".repeat(300_000)), "changed within its first 200000 bytes"],
		] as const) {
			const { files, at } = await outputs();
			await writeFile(at("a.txt"), "a".repeat(200_000));
			await files.collect();
			await change(at("a.txt"));
			await assert.rejects(files.collect(), {
				code: "failed_precondition",
				message: `output file a.txt ${message}; a committed file may only grow`,
			});
		}
	});

	it("reads everything again at the end, and so finds a change in the middle of a large file", async () => {
		const { files, at } = await outputs();
		await writeFile(at("a.txt"), "a".repeat(200_000));
		await files.collect();
		await overwrite(at("a.txt"), 100_000, "x");
		assert.deepEqual(await files.collect(), []);
		await assert.rejects(files.collect(true), { code: "failed_precondition", message: /^output file a\.txt changed/ });
	});

	it("refuses links and special files, naming them", async () => {
		const { files, at } = await outputs();
		await mkdir(at("deep"));
		await symlink("/etc/hostname", at("deep/link"));
		await assert.rejects(files.collect(), {
			code: "invalid_argument",
			message: "the output deep/link is a symbolic link: only plain files and directories can be kept",
		});
		await rm(at("deep/link"));
		execFileSync("mkfifo", [at("pipe")]);
		await assert.rejects(files.collect(), { code: "invalid_argument", message: /^the output pipe is no plain file/ });
	});
});
