import { existsSync, realpathSync } from "node:fs";
import { dataDirectory, readServerAddress, type ServerAddress } from "../data-directory.js";
import { isMillraceError, MillraceError } from "../errors.js";
import type { GetServerInfoResponse } from "../gen/millrace/v1/server_service_pb.js";
import { sleep } from "../rpc/retry.js";
import { type Connection, openConnection } from "./connection.js";
import { startEmbeddedServer } from "./embedded-server.js";
import { chosenTls, type SecurityChoice, securityOf } from "./security.js";
import { shownToken } from "./shown-token.js";

/** Which server to use, and how. */
export interface ServerChoice extends SecurityChoice {
	/** The address of a server as `host:port`. Default: the environment's MILLRACE_SERVER, unless a directory is given. */
	readonly server?: string | undefined;
	/**
	 * The data directory whose server to use if no address is given. Default: the environment's
	 * MILLRACE_DATA, else `.millrace` in the working directory.
	 */
	readonly dataDirectory?: string | undefined;
}

// How long a live server may take to say who it is, and how long another process's server may hold the
// directory without serving before that is an error.
const answerMs = 3_000;
const contentionMs = 30_000;

/**
 * Connects to the first of these: the server that was named; `MILLRACE_SERVER`, unless a data directory was
 * named; the live server of the data directory; an embedded server that is started on it for the purpose.
 *
 * Whether a server of the data directory speaks TLS is known from there: what the environment says of TLS then counts only
 * for one that does.
 *
 * Throws `invalid_argument` if the named address or the token is malformed or a file of TLS is no good,
 * `failed_precondition` with the server's own words if an embedded one cannot start, if the live one speaks TLS and this
 * client cannot, and if others can read the file of `millrace user login`.
 */
export async function connect(
	choice: ServerChoice = {},
	environment: NodeJS.ProcessEnv = process.env,
): Promise<Connection> {
	if (choice.server) {
		return openNamed(choice.server, choice, environment);
	}
	const named = choice.dataDirectory ? "" : environment.MILLRACE_SERVER;
	if (named) {
		return openNamed(named, choice, environment, "MILLRACE_SERVER");
	}
	const directory = dataDirectory(choice.dataDirectory);
	const live = await connectToLiveServer(directory, choice, environment);
	if (live === undefined && choice.tls) {
		throw new MillraceError(
			"failed_precondition",
			`tls is given, but no server that speaks TLS serves the data directory ${directory}; ` +
				"name the address of one with server (--server), or leave out tls",
		);
	}
	const connection = live ?? (await connectToEmbeddedServer(directory, choice, environment));
	const { channel } = connection;
	try {
		channel.security = {
			...channel.security,
			token: shownToken(choice, loginNames(connection, directory), environment),
		};
		return connection;
	} catch (error) {
		connection.close();
		throw error;
	}
}

/**
 * Returns what a login to a server is kept by: its address, or for one that was found by its data directory that
 * directory's real path, and the address where it lasts.
 */
export function loginNames({ address }: Pick<Connection, "address">, directory?: string): string[] {
	if (directory === undefined) {
		return [address.toLowerCase()];
	}
	const isLasting = readServerAddress(directory)?.embedded === false;
	return [realpathSync(directory), ...(isLasting ? [address.toLowerCase()] : [])];
}

/**
 * Makes a connection to a server whose address was named. Nothing is sent before the first call.
 *
 * @param name How an error calls the address.
 *
 * Throws what `connect` does.
 */
export function openNamed(
	address: string,
	choice: SecurityChoice = {},
	environment: NodeJS.ProcessEnv = process.env,
	name?: string,
): Connection {
	return openConnection(address, { security: securityOf(choice, loginNames({ address }), environment) }, name);
}

/** Connects to the server that serves a data directory; undefined if none does. */
async function connectToLiveServer(
	directory: string,
	choice: SecurityChoice,
	environment: NodeJS.ProcessEnv,
): Promise<Connection | undefined> {
	const server = readServerAddress(directory);
	if (server === undefined || (choice.tls && server.tls === undefined)) {
		return undefined;
	}
	// No token is shown before it is known to be this directory's server.
	const connection = openConnection(server.address, { security: { tls: localTls(server, choice, environment) } });
	try {
		const info = await connection.server.getServerInfo({}, { retryMs: 0, signal: AbortSignal.timeout(answerMs) });
		// The address may be an old one, which another server has taken since.
		if (isServerOf(directory, server, info)) {
			return connection;
		}
	} catch (error) {
		connection.close();
		// It is there, and TLS lies between us.
		if (server.tls && (isMillraceError(error, "failed_precondition") || isMillraceError(error, "unauthenticated"))) {
			throw error;
		}
		// Whoever does not answer is not this directory's server.
	}
	connection.close();
	return undefined;
}

/** How TLS is spoken to a server of the data directory; undefined for plain text. */
function localTls({ tls: ofServer }: ServerAddress, choice: SecurityChoice, environment: NodeJS.ProcessEnv) {
	const tls = ofServer && chosenTls(choice, environment);
	return tls && { serverName: ofServer.serverName, ...tls };
}

async function connectToEmbeddedServer(
	directory: string,
	choice: SecurityChoice,
	environment: NodeJS.ProcessEnv,
): Promise<Connection> {
	const deadline = Date.now() + contentionMs;
	const isNew = !existsSync(directory);
	for (;;) {
		const started = await startEmbeddedServer(directory);
		if ("address" in started) {
			if (isNew) {
				// Whoever only meant to look has run this in another folder than before.
				console.error(`millrace: new data directory ${directory}`);
			}
			return openConnection(started.address);
		}
		// The directory's holder is a server that another process has just started, or one that is just ending.
		const patience = started.isDirectoryTaken ? Math.min(Date.now() + 1_000, deadline) : 0;
		while (Date.now() < patience) {
			const connection = await connectToLiveServer(directory, choice, environment);
			if (connection !== undefined) {
				return connection;
			}
			await sleep(50);
		}
		if (!started.isDirectoryTaken || Date.now() >= deadline) {
			throw new MillraceError(
				"failed_precondition",
				`the embedded server on ${directory} did not start: ${started.failure}`,
			);
		}
	}
}

/**
 * Whether a server that answers where the directory says that its server is has the directory. It tells its own directory
 * only to those whom it knows, or who come from a loopback address. The path counts before the id, which a copy of the
 * directory has too.
 */
function isServerOf(
	directory: string,
	{ clusterId }: ServerAddress,
	info: Pick<GetServerInfoResponse, "clusterId" | "dataDirectory">,
): boolean {
	return info.dataDirectory === ""
		? clusterId !== undefined && clusterId === info.clusterId
		: isSameDirectory(info.dataDirectory, directory);
}

function isSameDirectory(one: string, other: string): boolean {
	try {
		return realpathSync(one) === realpathSync(other);
	} catch {
		return one === other;
	}
}
