import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { nodeWithTsx } from "../support/node-with-tsx.js";
import { startCommand } from "../support/start-command.js";
import { tempDir } from "../support/temp-dir.js";

const test = fileURLToPath(new URL("go.test.ts", import.meta.url));

/** Runs the test of the client in Go where no program is on the PATH. */
function testWithoutGo(env: Record<string, string>) {
	const [node, ...tsx] = nodeWithTsx;
	return startCommand(node, [...tsx, "--test", "--test-reporter=tap", test], { env: { PATH: tempDir(), ...env } })
		.ended;
}

describe("a language of examples/clients that is missing", { timeout: 120_000 }, () => {
	it("is skipped with a line that says what is missing", async () => {
		const { code, stdout } = await testWithoutGo({});
		assert.equal(code, 0, stdout);
		assert.match(stdout, /# SKIP Go 1\.25 or later is not installed, so that examples\/clients\/go is not tested/);
	});

	it("fails in CI", async () => {
		const { code, stdout } = await testWithoutGo({ CI: "true" });
		assert.notEqual(code, 0);
		assert.match(stdout, /Go 1\.25 or later is not installed.*; CI must have it/);
	});
});
