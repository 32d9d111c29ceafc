import { accessSync, constants, existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { readServerAddress, type ServerAddress } from "../../data-directory.js";
import { MillraceError, messageOf } from "../../errors.js";
import { Connection, isBusy } from "./database.js";

/** The right to be the server of a data directory. It ends with the process, so it is never stale. */
export interface DirectoryLock {
	/** Gives the right up. */
	release(): Promise<void>;
}

/** How to wait for a server that ends by itself. */
export interface EmbeddedWait {
	/** For how long, in milliseconds. */
	readonly ms: number;
	/** Called once, with the embedded server that holds the directory. */
	readonly onWait: (server: ServerAddress) => void;
}

const pollMs = 100;

/**
 * Takes the lock of a data directory, which is created where it is missing.
 *
 * Throws `already_exists` if another server holds it, for an embedded one only after `wait`; the message
 * names that server. Throws `failed_precondition` if the directory cannot be made or written.
 */
export async function lockDirectory(directory: string, wait?: EmbeddedWait): Promise<DirectoryLock> {
	const until = performance.now() + (wait?.ms ?? 0);
	let embedded: ServerAddress | undefined;
	for (;;) {
		const lock = await tryLock(directory);
		if (lock !== undefined) {
			return lock;
		}
		// A server that is about to serve, or to end, has no address.
		const holder = readServerAddress(directory) ?? embedded;
		const canEnd = holder === undefined || holder.embedded === true;
		if (wait === undefined || !canEnd || performance.now() >= until) {
			throw inUse(directory, holder);
		}
		if (embedded === undefined && holder !== undefined) {
			wait.onWait(holder);
		}
		embedded = holder;
		await sleep(pollMs);
	}
}

async function tryLock(directory: string): Promise<DirectoryLock | undefined> {
	try {
		mkdirSync(directory, { recursive: true });
		const file = join(directory, "lock.db");
		// SQLite would take a file that is read-only, and lock nothing.
		for (const path of [directory, file, join(directory, "millrace.db")].filter(existsSync)) {
			accessSync(path, constants.W_OK);
		}
		const connection = await Connection.open(file);
		try {
			await connection.execute("PRAGMA busy_timeout = 0; BEGIN EXCLUSIVE");
		} catch (error) {
			await connection.close();
			throw error;
		}
		return { release: () => connection.close() };
	} catch (error) {
		if (isBusy(error)) {
			return undefined;
		}
		throw isSystemError(error) ? unusable(directory, error) : error;
	}
}

/** Tells what the file system or SQLite throws from what is thrown here. */
function isSystemError(error: unknown): boolean {
	return error instanceof Error && "errno" in error;
}

function unusable(directory: string, cause: unknown): MillraceError {
	return new MillraceError(
		"failed_precondition",
		`the data directory ${directory} cannot be made or written: ${messageOf(cause)}; ` +
			"choose a directory that you may write to with --data or MILLRACE_DATA",
		{ cause },
	);
}

function inUse(directory: string, holder: ServerAddress | undefined): MillraceError {
	const server = holder && `server at ${holder.address} (pid ${holder.pid})`;
	const text =
		server === undefined
			? "another server; use that server, stop it"
			: holder?.embedded
				? `the embedded ${server} of a running command; wait for its end, use that server`
				: `the ${server}; use that server, stop it`;
	return new MillraceError(
		"already_exists",
		`data directory ${directory} is in use by ${text}, or choose another directory with --data`,
	);
}
