import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { describe, it } from "node:test";
import { nodeWithTsx } from "../support/node-with-tsx.js";

const [node, ...args] = nodeWithTsx;

function logging(error: string, stderr: number | "pipe") {
	const script = `import { logToStandardError } from ${JSON.stringify(import.meta.resolve("../../src/server/log.ts"))};
		logToStandardError("first", ${error});
		setTimeout(() => {
			logToStandardError("second", "plain");
			setTimeout(() => console.log("alive"), 50);
		}, 50);`;
	return spawnSync(node, [...args, "--input-type=module", "--eval", script], {
		stdio: ["ignore", "pipe", stderr],
		encoding: "utf8",
	});
}

describe("logToStandardError", { timeout: 30_000 }, () => {
	it("writes the message, and the error with its stack", () => {
		const { stdout, stderr } = logging('new Error("planted")', "pipe");
		assert.match(stderr, /^millrace server: first: Error: planted\n {4}at .*millrace server: second: plain\n$/s);
		assert.equal(stdout, "alive\n");
	});

	it("does not throw for a full disk", { skip: process.platform !== "linux" }, () => {
		const full = openSync("/dev/full", "w");
		try {
			const { stdout, status } = logging('new Error("planted")', full);
			assert.deepEqual([status, stdout], [0, "alive\n"]);
		} finally {
			closeSync(full);
		}
	});

	it("writes the message of an error that cannot be shown", () => {
		const error = '{ [Symbol.for("nodejs.util.inspect.custom")]() { throw new Error("shown"); } }';
		const { stdout, stderr } = logging(error, "pipe");
		assert.match(stderr, /^millrace server: first: an error that cannot be shown\n/);
		assert.equal(stdout, "alive\n");
	});
});
