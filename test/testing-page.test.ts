import assert from "node:assert/strict";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { nodeWithTsx } from "./support/node-with-tsx.js";
import { examplesOf } from "./support/page-examples.js";
import { startCommand } from "./support/start-command.js";
import { tempDir } from "./support/temp-dir.js";

const root = fileURLToPath(new URL("..", import.meta.url));

describe("the test of docs/testing.md", { timeout: 240_000 }, () => {
	it("passes", async () => {
		const project = tempDir();
		mkdirSync(join(project, "node_modules"));
		symlinkSync(root, join(project, "node_modules/millrace"));
		writeFileSync(join(project, "package.json"), JSON.stringify({ type: "module" }));
		const [processor, test] = examplesOf(join(root, "docs/testing.md"));
		writeFileSync(join(project, "shout.ts"), processor?.code ?? "");
		writeFileSync(join(project, "shout.test.ts"), test?.code ?? "");
		const [node, ...tsx] = nodeWithTsx;
		const { code, stdout } = await startCommand(node, [...tsx, "--test", "shout.test.ts"], { cwd: project }).ended;
		assert.equal(code, 0, stdout);
		assert.match(stdout, /pass 2/);
	});
});
