import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { readServerAddress } from "../../data-directory.js";
import { MillraceError } from "../../errors.js";
import { Connection, isBusy } from "./database.js";

/** The right to be the server of a data directory. It ends with the process, so it is never stale. */
export interface DirectoryLock {
	/** Gives the right up. */
	release(): Promise<void>;
}

/**
 * Takes the lock of a data directory, which is created where it is missing.
 *
 * Throws `already_exists` if another server holds it; the message names that server.
 */
export async function lockDirectory(directory: string): Promise<DirectoryLock> {
	mkdirSync(directory, { recursive: true });
	const connection = await Connection.open(join(directory, "lock.db"));
	try {
		await connection.execute("PRAGMA busy_timeout = 0; BEGIN EXCLUSIVE");
	} catch (error) {
		await connection.close();
		throw isBusy(error) ? inUse(directory, error) : error;
	}
	return { release: () => connection.close() };
}

function inUse(directory: string, cause: unknown): MillraceError {
	const server = readServerAddress(directory);
	const who = server === undefined ? "another server" : `the server at ${server.address} (pid ${server.pid})`;
	return new MillraceError(
		"already_exists",
		`data directory ${directory} is in use by ${who}; use that server, stop it, or choose another directory with --data`,
		{ cause },
	);
}
