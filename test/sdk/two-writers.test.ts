import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { nodeWithTsx } from "../support/node-with-tsx.js";
import { startCommand } from "../support/start-command.js";
import { tempDir } from "../support/temp-dir.js";
import { useTestClient } from "../support/use-test-client.js";

const [node, ...tsx] = nodeWithTsx;
const script = fileURLToPath(new URL("scripts/add-metadata.ts", import.meta.url));

describe("Model.addMetadata", { timeout: 600_000 }, () => {
	const test = useTestClient();

	it("loses no key where two programs add 1,000 each at once (F.53)", async () => {
		await test.client.createModel("shared");
		const ends = ["left", "right"].map((prefix) => {
			const env = { MILLRACE_SERVER: test.address };
			return startCommand(node, [...tsx, script, "shared", prefix], { env, cwd: tempDir() }).ended;
		});
		for (const end of await Promise.all(ends)) {
			assert.deepEqual(end, { code: 0, signal: null, stdout: "", stderr: "" });
		}
		const { metadata } = await test.client.getModel("shared");
		assert.equal(Object.keys(metadata).length, 2000);
		for (let i = 0; i < 1000; i++) {
			assert.deepEqual([metadata[`left ${i}`], metadata[`right ${i}`]], [i, i]);
		}
	});
});
