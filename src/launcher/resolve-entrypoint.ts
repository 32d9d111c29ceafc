import { spawnSync } from "node:child_process";
import { accessSync, constants, statSync } from "node:fs";
import { delimiter, join, resolve } from "node:path";
import { MillraceError } from "../errors.js";

/**
 * Returns the program and the arguments that an entrypoint stands for: a string is a command line for the
 * shell; a list's program is looked for on PATH and then in `directory`, where the entrypoint will run.
 *
 * Throws invalid_argument if it can be told that there is no such program.
 */
export function resolveEntrypoint(
	entrypoint: string | readonly string[],
	directory: string,
	env: NodeJS.ProcessEnv,
): string[] {
	if (typeof entrypoint === "string") {
		assertShellKnows(entrypoint, directory, env);
		return ["sh", "-c", entrypoint];
	}
	const [program = "", ...args] = entrypoint;
	const isPath = program.includes("/");
	const onPath = (env.PATH ?? "").split(delimiter).map((folder) => join(resolve(directory, folder), program));
	const found = [...(isPath ? [] : onPath), resolve(directory, program)].find(isExecutable);
	if (found === undefined) {
		throw notFound(program, entrypoint.join(" "), directory);
	}
	return [found, ...args];
}

function assertShellKnows(commandLine: string, directory: string, env: NodeJS.ProcessEnv): void {
	// Only a plain first word is looked up: what expands or assigns is the shell's own business.
	const word = /^\s*([\w./+][\w./+-]*)(?=\s|$)/.exec(commandLine)?.[1];
	if (word === undefined) {
		return;
	}
	const isKnown = word.includes("/")
		? isExecutable(resolve(directory, word))
		: spawnSync("sh", ["-c", 'command -v "$1"', "sh", word], { cwd: directory, env, stdio: "ignore" }).status === 0;
	if (!isKnown) {
		throw notFound(word, commandLine, directory);
	}
}

function isExecutable(path: string): boolean {
	try {
		accessSync(path, constants.X_OK);
		return statSync(path).isFile();
	} catch {
		return false;
	}
}

function notFound(program: string, entrypoint: string, directory: string): MillraceError {
	return new MillraceError(
		"invalid_argument",
		`entrypoint ${JSON.stringify(entrypoint)}: ${program}: command not found; ` +
			`it runs in ${directory}, so check its name, its path from there, PATH, and that it is executable`,
	);
}
