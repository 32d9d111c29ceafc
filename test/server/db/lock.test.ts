import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import { writeServerAddress } from "../../../src/data-directory.js";
import { isMillraceError } from "../../../src/errors.js";
import { lockDirectory } from "../../../src/server/db/lock.js";
import { tempDir } from "../../support/temp-dir.js";

describe("lockDirectory", { timeout: 30_000 }, () => {
	it("gives a directory to one server at a time and names that one to others", async () => {
		const directory = tempDir();
		const lock = await lockDirectory(directory);
		writeServerAddress(directory, { address: "127.0.0.1:4711", pid: 42, host: "here", version: "0" });
		await assert.rejects(lockDirectory(directory), (error: Error) => {
			assert.ok(isMillraceError(error, "already_exists"));
			assert.match(error.message, /is in use by the server at 127\.0\.0\.1:4711 \(pid 42\)/);
			return true;
		});
		await lock.release();
		const next = await lockDirectory(directory);
		after(() => next.release());
	});
});
