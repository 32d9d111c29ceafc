import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import type { Command } from "commander";
import { createProgram } from "../src/cli/command-line.js";
import { makeCommandWorld } from "./support/command-world.js";
import { keptTerminal } from "./support/kept-terminal.js";
import { millraceCommand } from "./support/millrace-command.js";
import { startCommand } from "./support/start-command.js";
import { tempDir } from "./support/temp-dir.js";
import { useTestClient } from "./support/use-test-client.js";

const root = fileURLToPath(new URL("..", import.meta.url));
const page = readFileSync(join(root, "docs/command.md"), "utf8");

function blocks(language: string): string[] {
	return [...page.matchAll(/^```(\w+)\n(.*?)^```$/gms)].flatMap(([, name, body = ""]) =>
		name === language ? [body] : [],
	);
}

describe("docs/command.md", { timeout: 120_000 }, () => {
	const test = useTestClient();

	it("has examples that run, one after the other", async () => {
		const folder = tempDir();
		await makeCommandWorld(test, folder);
		writeFileSync(join(folder, "model.onnx"), "weights");
		const main = millraceCommand.map((word) => `'${word}'`).join(" ");
		const script = `set -eu\nnpx() { shift; ${main} "$@"; }\n${blocks("sh").join("")}`;
		const env = { MILLRACE_SERVER: test.address, LANG: "C.UTF-8" };
		const { code, stdout, stderr } = await startCommand("sh", ["-c", script], { cwd: folder, env }).ended;
		assert.deepEqual([code, stderr], [0, ""], stdout);
		assert.match(stdout, / 0\.875061\n2\n$/);
		assert.equal(readFileSync(join(folder, "model/model.onnx"), "utf8"), "weights");
	});

	it("shows screens as they are", () => {
		const screens = join(root, "test/cli/screens");
		const texts = readdirSync(screens).map((name) => readFileSync(join(screens, name), "utf8"));
		for (const block of blocks("text")) {
			assert.ok(
				texts.some((text) => text.includes(block)),
				block,
			);
		}
	});

	it("names all commands, and no others", () => {
		const named = [...page.matchAll(/^\| (?:`(\w+)`)? ?\| (.*) \|$/gm)].flatMap(([, noun = "", verbs = ""]) =>
			[...verbs.matchAll(/`([a-z -]+)`/g)].map(([, verb]) => `${noun} ${verb}`.trim()),
		);
		const known = leaves(createProgram(keptTerminal().terminal)).map((path) => path.join(" "));
		assert.deepEqual(named.sort(), known.sort());
	});
});

function leaves(command: Command, path: readonly string[] = []): (readonly string[])[] {
	return command.commands.length === 0
		? [path]
		: command.commands.flatMap((child) => leaves(child, [...path, child.name()]));
}
