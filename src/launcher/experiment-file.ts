import { readFileSync } from "node:fs";
import { basename, extname } from "node:path";
import { parseDocument } from "yaml";
import { isMillraceError, MillraceError, messageOf } from "../errors.js";
import { type ExperimentConfig, parseExperimentConfig } from "../experiment-config.js";

/**
 * Reads an experiment's YAML file. An experiment without a name is named after the file.
 *
 * Throws invalid_argument, naming the file, if it cannot be read, is not YAML (with line and column), or
 * breaks a rule of the configuration.
 */
export function readExperimentFile(path: string): { config: ExperimentConfig; warnings: string[] } {
	const document = parseDocument(readText(path), { merge: true });
	const [error] = document.errors;
	if (error !== undefined) {
		const { line, col } = error.linePos?.[0] ?? { line: 1, col: 1 };
		const problem = error.message.replace(/ at line \d+, column \d+:[\s\S]*$/, "");
		throw new MillraceError("invalid_argument", `${path}:${line}:${col}: not YAML: ${problem}`, { cause: error });
	}
	try {
		const value: unknown = document.toJS();
		const { config, warnings } = parseExperimentConfig(value);
		const isNamed = typeof (value as { name?: unknown }).name === "string";
		return { config: isNamed ? config : { ...config, name: basename(path, extname(path)) }, warnings };
	} catch (error) {
		throw new MillraceError("invalid_argument", `${path}: ${messageOf(error)}`, {
			cause: isMillraceError(error) ? error.cause : error,
		});
	}
}

function readText(path: string): string {
	try {
		return readFileSync(path, "utf8");
	} catch (error) {
		const { code } = error as NodeJS.ErrnoException;
		const problem = code === "ENOENT" ? "no such file" : code === "EISDIR" ? "this is a directory" : messageOf(error);
		throw new MillraceError("invalid_argument", `${path}: ${problem}; give the path of an experiment's YAML file`, {
			cause: error,
		});
	}
}
