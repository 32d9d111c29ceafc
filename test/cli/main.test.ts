import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { version } from "../../src/version.js";
import { runMillrace, startCommand } from "../support/start-command.js";

describe("millrace", { timeout: 60_000 }, () => {
	it("tells its version", async () => {
		const end = await runMillrace(["--version"]);
		assert.deepEqual([end.code, end.stdout], [0, `${version}\n`]);
	});

	it("lists its commands", async () => {
		const end = await runMillrace(["--help"]);
		assert.equal(end.code, 0);
		for (const name of ["run", "launch", "server", "trial"]) {
			assert.match(end.stdout, new RegExp(`^ {2}${name} `, "m"));
		}
		assert.doesNotMatch(end.stdout, /embedded/);
	});

	it("suggests the nearest command for an unknown one", async () => {
		const end = await runMillrace(["lunch"]);
		assert.equal(end.code, 2);
		assert.match(end.stderr, /unknown command 'lunch'\n\(Did you mean launch\?\)/);
	});

	it("shows its usage without a command", async () => {
		const end = await runMillrace([]);
		assert.equal(end.code, 2);
		assert.match(end.stderr, /Usage: millrace/);
	});

	it("refuses a trial that is no number", async () => {
		const end = await runMillrace(["trial", "outputs", "first"]);
		assert.equal(end.code, 2);
		assert.match(end.stderr, /Give the number of a trial/);
	});

	it("ends quietly when nobody reads its output any more", async () => {
		const main = new URL("../../src/cli/main.ts", import.meta.url).pathname;
		const line = `"$0" --import "$1" "$2" launch -- sh -c 'while :; do echo line; sleep 0.01; done' | head -n 1`;
		const end = await startCommand("sh", ["-c", line, process.execPath, import.meta.resolve("tsx"), main]).ended;
		assert.equal(end.stdout, "[rank=0] line\n");
		assert.equal(end.stderr, "");
	});
});
