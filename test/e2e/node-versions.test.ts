import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { nodeBinary } from "../support/node-binary.js";
import { startBuiltServer } from "../support/start-built-server.js";
import { startCommand } from "../support/start-command.js";

const worker = fileURLToPath(new URL("../support/workers/doubling-worker.js", import.meta.url));

describe("the built package", { timeout: 300_000 }, () => {
	for (const major of [22, 24]) {
		it(`serves, computes and remembers under Node ${major}`, async (test) => {
			const binary = await nodeBinary(major);
			if ("missing" in binary) {
				test.skip(binary.missing);
				return;
			}
			const server = await startBuiltServer(binary.path);
			const { code, stdout, stderr } = await startCommand(binary.path, [worker], {
				env: { MILLRACE_SERVER: server.address },
			}).ended;
			assert.deepEqual([code, stderr], [0, ""]);
			const { node, ...rest } = JSON.parse(stdout);
			assert.match(node, new RegExp(`^${major}\\.`));
			assert.deepEqual(rest, { status: "completed", doubled: [2, 4, 6, 8, 10, 12] });
			await server.stop();
		});
	}
});
