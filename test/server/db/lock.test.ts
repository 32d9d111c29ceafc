import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { removeServerAddress, type ServerAddress, writeServerAddress } from "../../../src/data-directory.js";
import { isMillraceError } from "../../../src/errors.js";
import { lockDirectory } from "../../../src/server/db/lock.js";
import { errorWith } from "../../support/error-with.js";
import { nodeWithTsx } from "../../support/node-with-tsx.js";
import { tempDir } from "../../support/temp-dir.js";
import { waitUntil } from "../../support/wait-until.js";

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

	it("waits for an embedded server, as long as it is told to", async () => {
		const directory = tempDir();
		const holder = { address: "127.0.0.1:4711", pid: 42, host: "here", version: "0", embedded: true };
		const lock = await lockDirectory(directory);
		writeServerAddress(directory, holder);
		const waits: ServerAddress[] = [];
		const onWait = (server: ServerAddress) => waits.push(server);
		await assert.rejects(
			lockDirectory(directory, { ms: 300, onWait }),
			errorWith(
				"already_exists",
				/^data directory .* is in use by the embedded server at 127\.0\.0\.1:4711 \(pid 42\) of a running command; wait/,
			),
		);
		assert.deepEqual(waits, [holder]);
		const waiting = lockDirectory(directory, { ms: 20_000, onWait });
		await waitUntil("the second wait", () => waits.length === 2);
		// As a server does that ends.
		removeServerAddress(directory);
		await lock.release();
		const next = await waiting;
		after(() => next.release());
	});

	it("does not wait for a server that is not embedded", async () => {
		const directory = tempDir();
		const lock = await lockDirectory(directory);
		after(() => lock.release());
		writeServerAddress(directory, { address: "127.0.0.1:4711", pid: 42, host: "here", version: "0", embedded: false });
		const onWait = () => assert.fail("waits");
		await assert.rejects(lockDirectory(directory, { ms: 60_000, onWait }), errorWith("already_exists", /stop it/));
	});

	it("throws failed_precondition naming a directory that cannot be made or written", async () => {
		const root = tempDir();
		const file = join(root, "file");
		writeFileSync(file, "");
		const unwritable = join(root, "unwritable");
		mkdirSync(join(unwritable, "lock.db"), { recursive: true });
		for (const directory of [file, join(file, "below"), unwritable]) {
			const message = new RegExp(`^the data directory ${directory} cannot be made or written: .*--data`);
			await assert.rejects(lockDirectory(directory), errorWith("failed_precondition", message));
		}
	});

	it("throws failed_precondition for files that it may not write", (t) => {
		// Root may write everything, so another user has to try, who must be able to read this repository.
		const user = process.getuid?.() === 0 ? { uid: 65_534 } : {};
		const [node, ...args] = nodeWithTsx;
		const read = `require("node:fs").accessSync(${JSON.stringify(fileURLToPath(import.meta.url))})`;
		if (process.platform === "win32" || spawnSync(node, ["--eval", read], { ...user, cwd: "/" }).status !== 0) {
			t.skip("no user without root's rights can read this repository");
			return;
		}
		const directory = tempDir();
		writeFileSync(join(directory, "lock.db"), "");
		chmodSync(join(directory, "lock.db"), 0o444);
		chmodSync(directory, 0o777);
		const script = `import { lockDirectory } from ${JSON.stringify(import.meta.resolve("../../../src/server/db/lock.ts"))};
			await lockDirectory(${JSON.stringify(directory)}).catch((error) => console.log(error.code, error.message));`;
		const { stdout } = spawnSync(node, [...args, "--input-type=module", "--eval", script], {
			...user,
			encoding: "utf8",
		});
		assert.match(stdout, /^failed_precondition the data directory .* cannot be made or written: .*lock\.db/);
	});
});
