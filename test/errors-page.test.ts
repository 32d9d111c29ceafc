import assert from "node:assert/strict";
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { Client } from "../src/sdk/index.js";
import { nodeWithTsx } from "./support/node-with-tsx.js";
import { startCommand } from "./support/start-command.js";
import { startTestServer } from "./support/start-test-server.js";
import { tempDir } from "./support/temp-dir.js";

const root = fileURLToPath(new URL("..", import.meta.url));

describe("the worker of docs/ERRORS.md", { timeout: 120_000 }, () => {
	it("leaves out the record that is no JSON", async () => {
		const server = await startTestServer();
		const project = tempDir();
		const page = readFileSync(join(root, "docs/ERRORS.md"), "utf8");
		const [, worker = ""] = /^```ts\n(.*?)^```$/ms.exec(page) ?? [];
		mkdirSync(join(project, "node_modules"));
		symlinkSync(root, join(project, "node_modules/millrace"));
		writeFileSync(join(project, "package.json"), JSON.stringify({ type: "module" }));
		writeFileSync(join(project, "worker.ts"), worker);
		const [node, ...tsx] = nodeWithTsx;
		const env = { MILLRACE_SERVER: server.address };
		const { code, stderr } = await startCommand(node, [...tsx, "worker.ts"], { cwd: project, env }).ended;
		assert.equal(code, 0, stderr);
		const client = new Client({ server: server.address });
		const trial = await client.getTrial(1);
		assert.equal(trial.state, "COMPLETED");
		assert.deepEqual(
			(await trial.listErrors()).map(({ record, error }) => [record, error.includes("JSON")]),
			[[2, true]],
		);
		const reports = await trial.getMetrics("inference");
		assert.deepEqual(
			reports.map(({ metrics }) => metrics),
			[{ prices: [3, 4] }, { prices: [6] }],
		);
		await client.close();
	});
});
