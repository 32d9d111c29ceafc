import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

/**
 * The directory that holds everything a server remembers: `explicit`, else `MILLRACE_DATA`, else
 * `.millrace` in the working directory. Returned as an absolute path; it may not exist yet.
 */
export function dataDirectory(explicit?: string): string {
	return resolve(explicit || process.env.MILLRACE_DATA || ".millrace");
}

/** Where the server of a data directory can be reached. */
export interface ServerAddress {
	/** `host:port`. */
	readonly address: string;
	/** The URL of what it serves over HTTP; undefined if it serves none. */
	readonly httpAddress?: string | undefined;
	/** The server's process. */
	readonly pid: number;
	/** The name of the host that the process runs on. */
	readonly host: string;
	/** The version of the program. */
	readonly version: string;
	/** The UUID that the directory's database has; undefined where an older program wrote the address. */
	readonly clusterId?: string | undefined;
	/** Whether it ends by itself when nobody is connected. Default false. */
	readonly embedded?: boolean;
	/** There if it speaks TLS. */
	readonly tls?: {
		/** The name to expect in its certificate, where that is not for the host of the address. */
		readonly serverName?: string | undefined;
	};
}

/**
 * Returns the address that the last server of the directory wrote, or undefined if there is none. The
 * server may be gone all the same: only its lock ends with its process.
 */
export function readServerAddress(directory: string): ServerAddress | undefined {
	try {
		return JSON.parse(readFileSync(addressFile(directory), "utf8")) as ServerAddress;
	} catch {
		return undefined;
	}
}

/** Writes the server's address, whole or not at all. */
export function writeServerAddress(directory: string, address: ServerAddress): void {
	mkdirSync(directory, { recursive: true });
	const temporary = `${addressFile(directory)}.${process.pid}`;
	writeFileSync(temporary, `${JSON.stringify(address)}\n`);
	renameSync(temporary, addressFile(directory));
}

/** Removes the server's address. */
export function removeServerAddress(directory: string): void {
	rmSync(addressFile(directory), { force: true });
}

function addressFile(directory: string): string {
	return join(directory, "server.json");
}
