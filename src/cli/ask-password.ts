import type { Command } from "commander";
import { MillraceError } from "../errors.js";
import type { Terminal } from "./terminal.js";

/** Where passwords come from. No flag takes one: everybody on the machine sees the flags of a command. */
export interface PasswordFlag {
	passwordStdin?: boolean;
}

/** A password that a command needs. */
export interface WantedPassword {
	/** What it is, as in "password of ada". */
	readonly what: string;
	/** Whether it is a new one, which is typed twice. Default false. */
	readonly isNew?: boolean;
}

/** What the server takes at least. */
const fewestCharacters = 8;

/** Adds the flag by which passwords are read from a pipe. */
export function addPasswordFlag(command: Command, lines: string): Command {
	return command.option("--password-stdin", `read ${lines} from standard input, instead of asking`);
}

/**
 * Takes passwords: from the lines of standard input if the flag says so, else from the person at the terminal.
 *
 * Throws `invalid_argument` if there are more or fewer lines, one is empty, a new one is too short, or two that should be
 * the same are not; `failed_precondition` where nobody can be asked.
 */
export async function takePasswords(
	terminal: Terminal,
	{ passwordStdin = false }: PasswordFlag,
	wanted: readonly WantedPassword[],
): Promise<string[]> {
	const passwords = passwordStdin ? await readPasswords(terminal, wanted) : await askPasswords(terminal, wanted);
	for (const [i, { what, isNew = false }] of wanted.entries()) {
		const { length } = passwords[i] ?? "";
		if (length === 0) {
			throw new MillraceError("invalid_argument", `no ${what} is given; nothing is done`);
		}
		if (isNew && length < fewestCharacters) {
			throw new MillraceError(
				"invalid_argument",
				`the ${what} has ${length} characters; take at least ${fewestCharacters}`,
			);
		}
	}
	return passwords;
}

async function readPasswords(terminal: Terminal, wanted: readonly WantedPassword[]): Promise<string[]> {
	const lines = await terminal.readLines();
	if (lines === undefined) {
		throw new MillraceError(
			"failed_precondition",
			"--password-stdin is given, but standard input is a terminal, which would show the password; leave it out to be asked",
		);
	}
	if (lines.length !== wanted.length) {
		const rule = wanted.map(({ what }) => `the ${what}`).join(", then ");
		throw new MillraceError(
			"invalid_argument",
			`standard input has ${lines.length === 1 ? "1 line" : `${lines.length} lines`}; give ${rule}, on a line of its own`,
		);
	}
	return lines;
}

async function askPasswords(terminal: Terminal, wanted: readonly WantedPassword[]): Promise<string[]> {
	const passwords: string[] = [];
	for (const { what, isNew = false } of wanted) {
		const password = await askFor(terminal, what);
		if (isNew && password.length >= fewestCharacters && (await askFor(terminal, `${what} again`)) !== password) {
			throw new MillraceError("invalid_argument", `the two times the ${what} was typed differ; nothing is changed`);
		}
		passwords.push(password);
	}
	return passwords;
}

async function askFor(terminal: Terminal, what: string): Promise<string> {
	const password = await terminal.askSecret(what);
	if (password === undefined) {
		throw new MillraceError(
			"failed_precondition",
			`nobody can be asked here for the ${what}; pipe it into the command, with --password-stdin`,
		);
	}
	return password;
}
