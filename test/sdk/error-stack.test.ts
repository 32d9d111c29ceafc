import assert from "node:assert/strict";
import { basename } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { Client } from "../../src/sdk/index.js";
import { useTestClient } from "../support/use-test-client.js";

const thisFile = basename(fileURLToPath(import.meta.url));

describe("the stack of an error of the SDK", { timeout: 60_000 }, () => {
	const test = useTestClient();
	const unknown = "6b8f1f0e-0000-4000-8000-000000000000";

	// Async functions, as a user writes them: their awaits are what the stack lists.
	const calls: [string, () => Promise<unknown>][] = [
		["a call", async () => await test.client.createModel("a/b")],
		[
			"a call whose message the SDK adds to",
			async () => {
				await test.client.createModel("taken", { existOk: true });
				await test.client.createModel("taken");
			},
		],
		["a call that protobuf refuses", async () => await test.client.createTrial(1, { maxRestarts: 1.5 })],
		["something pending", async () => await test.client.getModel("nobody")],
		["a method of something pending", async () => await test.client.getCheckpoint(unknown).download("/nowhere")],
		["a chain", async () => await test.client.getModel("nobody").getVersion(1)],
		["a list of a chain", async () => await test.client.getModel("nobody").getVersion(1).getMetrics()],
	];
	for (const [name, call] of calls) {
		it(`names the line that awaits ${name}`, async () => {
			const error = await call().then(
				() => assert.fail("it did not fail"),
				(error: Error) => error,
			);
			assert.ok(error.stack?.includes(thisFile), error.stack);
		});
	}

	it("names the line that iterates over a list", async () => {
		const read = async () => {
			for await (const metrics of test.client.getCheckpoint(unknown).getMetrics()) {
				assert.fail(String(metrics));
			}
		};
		await assert.rejects(read(), (error: Error) => error.stack?.includes(thisFile) ?? false);
	});

	it("names the line that awaits a client whose server is malformed", async () => {
		const client = new Client({ server: "nowhere" });
		const read = async () => await client.getModel("x");
		await assert.rejects(read(), (error: Error) => error.stack?.includes(thisFile) ?? false);
		await client.close();
	});
});
