import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { nodeWithTsx } from "../support/node-with-tsx.js";
import { startCommand } from "../support/start-command.js";

const script = fileURLToPath(new URL("../../bench/bench.ts", import.meta.url));
const [node, ...tsx] = nodeWithTsx;

describe("the bench of abuse", { timeout: 120_000 }, () => {
	it("measures the rate of the clients beside each kind of abuse, and the server's memory", async () => {
		const kinds = ["silent", "rubbish", "greedy", "half", "pings", "slow"];
		const bench = startCommand(node, [...tsx, script, "abuse", "18", "1", ...kinds]);
		after(() => bench.close());
		const { code, stdout, stderr } = await bench.ended;
		assert.equal(code, 0, stderr);
		const [title, ...lines] = stdout.trim().split("\n");
		assert.equal(title, `20 clients beside 18 connections: ${kinds.join(", ")}`);
		const figures = lines.map((line) => /^(.+?) {2,}([\d.]+) ?(\S*)$/.exec(line)?.slice(1) ?? []);
		assert.deepEqual(
			figures.map(([name, value, unit]) => [name, Number(value) > 0, unit]),
			[
				["rate before the abuse", true, "calls/s"],
				["rate during the abuse", true, "calls/s"],
				["rate after the abuse", true, "calls/s"],
				["ratio to the undisturbed rate", true, ""],
				["server's memory before", true, "MB"],
				["server's memory during", true, "MB"],
				["server's peak memory", true, "MB"],
			],
		);
	});
});

describe("npm run bench", { timeout: 60_000 }, () => {
	it("names the benches that there are when it is told of none", async () => {
		const bench = startCommand(node, [...tsx, script, "speed"]);
		after(() => bench.close());
		const { code, stderr } = await bench.ended;
		assert.equal(code, 2);
		assert.match(stderr, /^bench: "speed" is no bench; there are\n {2}abuse .*\n {2}rendezvous .*\n$/);
	});
});
