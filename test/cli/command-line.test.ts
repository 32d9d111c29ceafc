import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Command } from "commander";
import { createProgram } from "../../src/cli/command-line.js";
import { Terminal } from "../../src/cli/terminal.js";
import { runInProcess } from "../support/run-command-line.js";
import { splitWords } from "../support/split-words.js";

const terminal = () => new Terminal({ ...process, env: {} });

/** All commands, with the words that lead to them. */
function commandsOf(command: Command, path: readonly string[] = []): [path: readonly string[], command: Command][] {
	return [[path, command], ...command.commands.flatMap((child) => commandsOf(child, [...path, child.name()]))];
}

/** The lines of a shell in the help of a command, without their `millrace`. */
async function examplesOf(path: readonly string[]): Promise<string[]> {
	const { code, stdout, stderr } = await runInProcess([...path, "--help"]);
	assert.deepEqual([code, stderr], [0, ""]);
	const [, lines = ""] = /\n\nExamples?:\n((?: {2}millrace .*\n)+)$/.exec(stdout) ?? [];
	return [...lines.matchAll(/^ {2}millrace (.*)$/gm)].map(([, line = ""]) => line);
}

describe("createProgram", { timeout: 60_000 }, () => {
	it("gives each command a help that ends with examples of it, which parse", async () => {
		for (const [path, command] of commandsOf(createProgram(terminal()))) {
			const name = `millrace ${path.join(" ")}`;
			const examples = await examplesOf(path);
			assert.ok(examples.length > 0, `the help of ${name} does not end with an example`);
			for (const example of examples) {
				const program = createProgram(terminal());
				let parsed: Command | undefined;
				for (const [, one] of commandsOf(program)) {
					one.configureOutput({ writeErr: (text) => assert.fail(`${example}: ${text}`) });
					if (one.commands.length === 0 || one.name() === "server") {
						one.action((...given) => {
							parsed = given.at(-1);
						});
					}
				}
				await program.parseAsync(splitWords(example), { from: "user" });
				const isOfGroup = command.commands.length > 0 && parsed?.name() !== command.name();
				const shown = `${example}, an example of ${name}`;
				assert.ok(parsed !== undefined, shown);
				assert.ok(isOfGroup ? example.startsWith(path.join(" ")) : parsed.name() === command.name(), shown);
			}
		}
	});

	it("names --server, --data and --json the same everywhere", () => {
		const meanings = new Map<string, Set<string>>();
		for (const [, command] of commandsOf(createProgram(terminal()))) {
			for (const { long, description } of command.options) {
				const known = meanings.get(long ?? "") ?? new Set();
				meanings.set(long ?? "", known.add(description));
			}
		}
		assert.equal(meanings.get("--data")?.size, 1);
		assert.equal(meanings.get("--json")?.size, 2);
	});
});

describe("runCommandLine", { timeout: 60_000 }, () => {
	it("exits 2 and suggests what was probably meant by a mistyped command or option", async () => {
		const cases: readonly (readonly [line: string, says: string])[] = [
			["trail list", "error: unknown command 'trail'\n(Did you mean trial?)\n(see millrace --help)\n"],
			["trial lits", "error: unknown command 'lits'\n(Did you mean list?)\n(see millrace trial --help)\n"],
			["help trail", "error: unknown command 'trail'\n(Did you mean trial?)\n(see millrace --help)\n"],
			["trial help lits", "error: unknown command 'lits'\n(Did you mean list?)\n(see millrace trial --help)\n"],
			[
				"experiment label ad 1 x",
				"error: unknown command 'ad'\n(Did you mean add?)\n(see millrace experiment label --help)\n",
			],
			[
				"model list --jsno",
				"error: unknown option '--jsno'\n(Did you mean --json?)\n(see millrace model list --help)\n",
			],
			[
				"server inof",
				"error: unknown command 'inof'; millrace server alone serves, and has: info\n(see millrace server --help)\n",
			],
			["trial describe", "error: missing required argument 'id'\n(see millrace trial describe --help)\n"],
		];
		for (const [line, stderr] of cases) {
			assert.deepEqual(await runInProcess(line.split(" ")), { code: 2, stdout: "", stderr });
		}
	});

	it("shows by help what --help shows", async () => {
		for (const path of [[], ["trial"], ["trial", "list"], ["experiment", "label", "add"]]) {
			const help = await runInProcess([...path.slice(0, -1), "help", ...path.slice(-1)]);
			assert.equal(help.code, 0);
			assert.deepEqual(help, await runInProcess([...path, "--help"]));
		}
	});

	it("shows the help of a group that is given alone, and exits 2", async () => {
		for (const path of [[], ["trial"], ["experiment", "set"]]) {
			const { code, stdout, stderr } = await runInProcess(path);
			assert.deepEqual([code, stdout], [2, ""]);
			assert.match(stderr, /^Usage: millrace/);
		}
	});

	it("wraps the help at the width of the terminal", async () => {
		const help = async (columns: number) => {
			const { stdout } = await runInProcess(["run", "--help"], { columns });
			const lines = stdout.split("\n");
			assert.ok(Math.max(...lines.map((line) => line.length)) <= columns, stdout);
			return lines.length;
		};
		assert.ok((await help(80)) > (await help(120)));
	});

	it("exits 2 for what is no address, and says it in a line", async () => {
		const { code, stdout, stderr } = await runInProcess(["server", "info", "--server", "127.0.0.1"]);
		assert.deepEqual([code, stdout], [2, ""]);
		assert.match(stderr, /^millrace: the server "127.0.0.1" is not an address; .*\n$/);
	});
});
