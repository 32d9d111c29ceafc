import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { nodeWithTsx } from "../support/node-with-tsx.js";
import { startCommand } from "../support/start-command.js";

describe("the bench of the rendezvous", { timeout: 120_000 }, () => {
	it("joins 10 and 100 workers, gathers and finishes, and prints a line for each", async () => {
		const [node, ...args] = nodeWithTsx;
		const script = fileURLToPath(new URL("../../bench/bench.ts", import.meta.url));
		const bench = startCommand(node, [...args, script, "rendezvous", "10", "100"]);
		after(() => bench.close());
		const { code, stdout, stderr } = await bench.ended;
		assert.equal(code, 0, stderr);
		const lines = stdout.trim().split("\n").slice(1);
		assert.deepEqual(
			lines
				.map((line) => line.trim().split(/\s+/).map(Number))
				.map(([size, ...times]) => [size, times.every((t) => t > 0)]),
			[
				[10, true],
				[100, true],
			],
		);
	});
});
