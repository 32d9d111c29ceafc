import { type Dirent, readdirSync, readFileSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { findSecrets } from "./find-secrets.js";
import { passwords } from "./test-passwords.js";

/** The secret of a token, whoever has it. */
const token = /mlr_[\w-]{43}/;

/** The most bytes of a file that are looked at: more than any database of a test that has accounts. */
const largestFile = 16 * 1024 * 1024;

/**
 * Tells which files below a directory hold the secret of a token or a password of the tests. The file of a login may, as
 * that is what it is for.
 */
export function leftSecrets(directory: string): string[] {
	const found: string[] = [];
	for (const path of filesOf(directory)) {
		const content = contentOf(path);
		if (
			!basename(path).startsWith("tokens.json") &&
			content.includes("mlr_") &&
			token.test(content.toString("latin1"))
		) {
			found.push(`${path} holds the secret of a token`);
		}
		found.push(...findSecrets([{ name: path, content }], passwords));
	}
	return found;
}

/** Throws if what a command has written holds the secret of a token, but where it was asked for one. */
export function assertNoToken(command: readonly string[], output: string): void {
	if (token.test(output) && !command.includes("token")) {
		throw new Error(`${command.join(" ")} has written the secret of a token:\n${output}`);
	}
}

/** Returns the files below a directory, but those of packages that were installed. */
function filesOf(directory: string): string[] {
	return entriesOf(directory).flatMap((entry) => {
		const path = join(directory, entry.name);
		if (entry.isDirectory()) {
			return entry.name === "node_modules" ? [] : filesOf(path);
		}
		return entry.isFile() ? [path] : [];
	});
}

/** Returns what is in a file; nothing if it is too large, or gone: servers may still be at work in the directory. */
function contentOf(path: string): Buffer {
	try {
		return statSync(path).size <= largestFile ? readFileSync(path) : Buffer.alloc(0);
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code !== "ENOENT") {
			throw error;
		}
		return Buffer.alloc(0);
	}
}

function entriesOf(directory: string): Dirent[] {
	try {
		return readdirSync(directory, { withFileTypes: true });
	} catch {
		// A test may have removed it, or some process is about to.
		return [];
	}
}
