import { existsSync } from "node:fs";
import type { Command } from "commander";
import { dataDirectory } from "../data-directory.js";
import { MillraceError } from "../errors.js";
import { connect, type ServerChoice } from "../sdk/connect.js";
import type { Connection } from "../sdk/connection.js";
import type { Client, TlsOptions } from "../sdk/index.js";
import { addTlsFlags, type TlsFlags, tlsOf } from "./tls-flags.js";

/** Which server a command asks, and how. */
export interface ServerFlags extends TlsFlags {
	data?: string;
	server?: string;
}

/** What a command does with a server. */
export interface ServerUse {
	/** Whether it may make a data directory where there is none, as a command that creates something may. Default false. */
	readonly mayCreate?: boolean;
}

/** Adds the flags that name the server of a command, and say how to speak to it. */
export function addServerFlags(command: Command): Command {
	command
		.option("--data <directory>", "the data directory (default: MILLRACE_DATA, else .millrace)")
		.option("--server <host:port>", "the server (default: MILLRACE_SERVER, else the data directory's)");
	return addTlsFlags(command);
}

/**
 * Returns the server that the flags name, and how to speak to it, as `Client` and `connect` take it.
 *
 * Throws `invalid_argument` with the flag and the file if one of TLS is no good.
 */
export function serverChoice(flags: ServerFlags): ServerChoice & { readonly tls: TlsOptions | undefined } {
	return { server: flags.server, dataDirectory: flags.data, tls: tlsOf(flags) };
}

/** Returns the address of the server, if the flags or the environment name one rather than a data directory. */
export function namedServer(flags: ServerFlags): string | undefined {
	return flags.server || (flags.data ? undefined : process.env.MILLRACE_SERVER) || undefined;
}

/**
 * Gives the action a client of the server that the flags name, which is closed after it.
 *
 * Throws `failed_precondition` if they name a data directory that is not there, unless it may be made: who asks in the
 * wrong folder must not leave an empty one there.
 */
export async function withClient(
	flags: ServerFlags,
	action: (client: Client) => Promise<void>,
	{ mayCreate = false }: ServerUse = {},
): Promise<void> {
	if (!mayCreate) {
		assertServerOrData(flags);
	}
	const { Client } = await import("../sdk/index.js");
	const client = new Client(serverChoice(flags));
	try {
		await action(client);
	} finally {
		await client.close();
	}
}

/** As `withClient`, with a connection, for what is about the connection itself. `token` is shown instead of the usual one. */
export async function withConnection(
	flags: ServerFlags,
	action: (connection: Connection) => Promise<void>,
	{ mayCreate = false, token }: ServerUse & { readonly token?: string } = {},
): Promise<void> {
	if (!mayCreate) {
		assertServerOrData(flags);
	}
	const connection = await connect({ ...serverChoice(flags), token });
	try {
		await action(connection);
	} finally {
		connection.close();
	}
}

/** Throws `failed_precondition` if the flags name no server, and a data directory that is not there. */
export function assertServerOrData(flags: ServerFlags): void {
	const directory = dataDirectory(flags.data);
	if (namedServer(flags) === undefined && !existsSync(directory)) {
		throw new MillraceError(
			"failed_precondition",
			`there is no data directory ${directory}; run this in the folder of the run, or give --data or --server`,
		);
	}
}
