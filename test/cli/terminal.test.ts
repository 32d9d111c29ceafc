import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { keptTerminal } from "../support/kept-terminal.js";
import { millraceCommand } from "../support/millrace-command.js";
import { missingProgram } from "../support/missing-program.js";
import { type RunningCommand, startCommand } from "../support/start-command.js";
import { startServerWithAccounts } from "../support/start-server-with-accounts.js";
import { tempDir } from "../support/temp-dir.js";
import { passwords } from "../support/test-passwords.js";
import { useTestClient } from "../support/use-test-client.js";

describe("Terminal", () => {
	it("is as wide as COLUMNS says, else as the terminal, else 80", () => {
		const columns = (env: Record<string, string>, columns?: number) => keptTerminal({ env, columns }).terminal.columns;
		assert.deepEqual(
			[columns({ COLUMNS: "100" }, 60), columns({}, 60), columns({ COLUMNS: "wide" }, 60), columns({}, 0), columns({})],
			[100, 60, 60, 80, 80],
		);
	});

	it("shows more than ASCII where the locale says UTF-8", () => {
		const isUnicode = (env: Record<string, string>) => keptTerminal({ env }).terminal.isUnicode;
		const yes = [{ LANG: "C.UTF-8" }, { LANG: "C", LC_CTYPE: "de_DE.utf8" }, { LC_ALL: "en_US.UTF-8", LANG: "C" }];
		const no = [{}, { LANG: "C" }, { LANG: "C.UTF-8", LC_ALL: "POSIX" }, { LANG: "de_DE@euro" }];
		assert.deepEqual([yes.every(isUnicode), no.some(isUnicode)], [true, false]);
	});

	it("asks only where a person can answer, and takes the end of the input for no", async () => {
		assert.equal(await keptTerminal().terminal.confirm("delete it?"), undefined);
		const answers = ["y", "YES", " yes ", "n", "", "yep"];
		const agreed = await Promise.all(
			answers.map((answer) => keptTerminal({ answers: [answer] }).terminal.confirm("delete it?")),
		);
		assert.deepEqual(agreed, [true, true, true, false, false, false]);
		const asked = keptTerminal({ answers: ["y"] });
		await asked.terminal.confirm("delete it?");
		assert.deepEqual([asked.stdout(), asked.stderr()], ["", "millrace: delete it? [y/N] "]);
	});

	it("does not show what is asked for in secret, and asks once more in the same way", async () => {
		const { terminal, stdout, stderr } = keptTerminal({ answers: ["hunter22", "ada", "with space "] });
		assert.equal(await terminal.askSecret("password"), "hunter22");
		assert.equal(await terminal.ask("name"), "ada");
		assert.equal(await terminal.askSecret("password"), "with space ");
		assert.equal(await terminal.askSecret("password"), "", "the end of the input");
		const question = "millrace: password: \n";
		assert.deepEqual([stdout(), stderr()], ["", `${question}millrace: name: ${question}${question}`]);
		assert.equal(await keptTerminal().terminal.askSecret("password"), undefined);
	});

	it("reads lines only from what is not a terminal", async () => {
		assert.deepEqual(await keptTerminal({ input: "one\r\ntwo\n" }).terminal.readLines(), ["one", "two"]);
		assert.deepEqual(await keptTerminal({ input: "one\n\n" }).terminal.readLines(), ["one", ""]);
		assert.deepEqual(await keptTerminal().terminal.readLines(), []);
		assert.equal(await keptTerminal({ answers: ["one"] }).terminal.readLines(), undefined);
	});
});

const missing = missingProgram(["script", "stty"]);

describe("millrace on a terminal", { timeout: 120_000, skip: missing }, () => {
	const test = useTestClient();

	/** Starts a line for the shell, in which MAIN stands for `millrace`, on a terminal. */
	function startOnTerminal(line: string, env: Record<string, string> = {}): RunningCommand {
		const main = millraceCommand.map((word) => `'${word}'`).join(" ");
		return startCommand("script", ["-qec", line.replace("MAIN", main), "/dev/null"], {
			env: { TERM: "xterm", LANG: "C.UTF-8", ...env },
		});
	}

	async function onTerminal(line: string, env: Record<string, string> = {}): Promise<string> {
		const command = startOnTerminal(line, env);
		command.types("y\n");
		const { code, stdout } = await command.ended;
		assert.equal(code, 0, stdout);
		return stdout.replaceAll("\r\n", "\n");
	}

	it("fits its width, and has colours but with NO_COLOR", async () => {
		await test.client.createExperiment({ name: "n".repeat(300), entrypoint: "true", labels: ["l".repeat(300)] });
		for (const columns of [70, 200]) {
			const line = `stty cols ${columns}; MAIN experiment list --server ${test.address}`;
			const [coloured, plain] = await Promise.all([onTerminal(line), onTerminal(line, { NO_COLOR: "1" })]);
			assert.ok(coloured.includes("\u001b[36mACTIVE\u001b[39m"), coloured);
			assert.ok(!plain.includes("\u001b"), plain);
			const length = plain.split("\n").find((text) => text.includes("nnn…"))?.length ?? 0;
			// An odd column is left, where two share the rest.
			assert.ok(length === columns || length === columns - 1, plain);
		}
	});

	it("asks before it deletes, and takes the answer", async () => {
		const { id } = await test.client.createExperiment({ name: "asked", entrypoint: "true" });
		const shown = await onTerminal(`MAIN experiment delete ${id} --server ${test.address}`);
		assert.match(shown, /millrace: delete experiment \d+ \(asked\) .*, for good\? \[y\/N\] /);
		assert.match(shown, new RegExp(`experiment ${id}: deleted\n`));
	});

	it("shows no password while it is typed, and takes back what was mistyped", async () => {
		const { address } = await startServerWithAccounts();
		const env = { XDG_CONFIG_HOME: tempDir() };
		const command = startOnTerminal(`MAIN user login ada --server ${address}`, env);
		await command.writes("password of ada: ");
		command.types(`x\u007f${passwords.ada}\r`);
		const { code, stdout } = await command.ended;
		assert.equal(code, 0, stdout);
		assert.match(stdout, /^millrace: password of ada: \r\nlogged in to \S+ as ada until /);
	});
});
