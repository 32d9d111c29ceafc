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

describe("the script of docs/core.md", { timeout: 120_000 }, () => {
	it("runs alone, and leaves its reports and a checkpoint", async () => {
		const server = await startTestServer();
		const project = tempDir();
		const page = readFileSync(join(root, "docs/core.md"), "utf8");
		const [, script = ""] = /^```ts\n(.*?)^```$/ms.exec(page) ?? [];
		mkdirSync(join(project, "node_modules"));
		symlinkSync(root, join(project, "node_modules/millrace"));
		writeFileSync(join(project, "package.json"), JSON.stringify({ type: "module" }));
		writeFileSync(join(project, "script.ts"), script);
		const [node, ...tsx] = nodeWithTsx;
		const env = { MILLRACE_SERVER: server.address };
		const { code, stdout, stderr } = await startCommand(node, [...tsx, "script.ts"], { cwd: project, env }).ended;
		assert.equal(code, 0, stderr);
		assert.equal(stdout, `loss: ${1 / 1024}\n`);
		const client = new Client({ server: server.address });
		const trial = await client.getTrial(1);
		assert.deepEqual([trial.state, trial.hparams], ["COMPLETED", { rate: 0.5 }]);
		const reports = await trial.getMetrics("training");
		assert.deepEqual(
			reports.map(({ stepsCompleted }) => stepsCompleted),
			[1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
		);
		await client.close();
	});
});
