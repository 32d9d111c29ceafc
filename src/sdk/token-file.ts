import { randomUUID } from "node:crypto";
import { closeSync, fstatSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { isAbsolute, join } from "node:path";
import { MillraceError, messageOf } from "../errors.js";
import { whileLocked } from "./while-locked.js";

/** A login that is kept for the programs of a person. */
export interface KeptLogin {
	/** Whose it is. */
	readonly username: string;
	/** The secret of its token. */
	readonly token: string;
	/** When the token ends by itself, in ISO 8601; null if that is not known. */
	readonly expireTime: string | null;
}

/**
 * Where logins are kept: `millrace/tokens.json` in XDG_CONFIG_HOME, else in `.config` of the home directory. It maps each
 * server, by its address as `host:port` or by the real path of its data directory, to a login.
 */
export function tokenFile(environment: NodeJS.ProcessEnv = process.env): string {
	const { XDG_CONFIG_HOME = "", HOME } = environment;
	// The rule of XDG: a relative path counts for nothing.
	const directory = isAbsolute(XDG_CONFIG_HOME) ? XDG_CONFIG_HOME : join(HOME || homedir(), ".config");
	return join(directory, "millrace", "tokens.json");
}

/**
 * Returns the token that is kept for the first of these servers that has one.
 *
 * Throws `failed_precondition` if others can read the file, or it is no file of logins; `permission_denied` if it cannot be
 * read.
 */
export function keptToken(servers: readonly string[], environment?: NodeJS.ProcessEnv): string | undefined {
	const logins = readLogins(tokenFile(environment));
	return servers.flatMap((server) => logins.get(server)?.token ?? [])[0];
}

/**
 * Keeps a login for these servers, in place of earlier ones, in a file that only its owner can read. Logins that other
 * programs keep meanwhile stay. Returns the file's path.
 *
 * Throws as `keptToken` does, and `permission_denied` if the file cannot be written.
 */
export async function keepLogin(
	servers: readonly string[],
	login: KeptLogin,
	environment?: NodeJS.ProcessEnv,
): Promise<string> {
	const path = tokenFile(environment);
	await whileLocked(path, () => {
		const logins = readLogins(path);
		for (const server of servers) {
			logins.set(server, login);
		}
		writeLogins(path, logins);
	});
	return path;
}

/** Forgets a token that is of no use any more, whatever server it was kept for. Throws as `keepLogin` does. */
export async function forgetToken(token: string, environment?: NodeJS.ProcessEnv): Promise<void> {
	const path = tokenFile(environment);
	if (![...readLogins(path).values()].some((login) => login.token === token)) {
		return;
	}
	await whileLocked(path, () => {
		writeLogins(path, new Map([...readLogins(path)].filter(([, login]) => login.token !== token)));
	});
}

function readLogins(path: string): Map<string, KeptLogin> {
	let file: number;
	try {
		file = openSync(path, "r");
	} catch (error) {
		const { code } = error as NodeJS.ErrnoException;
		if (code === "ENOENT" || code === "ENOTDIR") {
			return new Map();
		}
		throw new MillraceError("permission_denied", `${path} cannot be read: ${messageOf(error)}`, { cause: error });
	}
	try {
		const mode = fstatSync(file).mode & 0o777;
		if (process.platform !== "win32" && (mode & 0o077) !== 0) {
			throw new MillraceError(
				"failed_precondition",
				`${path} holds tokens, and others than its owner have access to it (mode 0${mode.toString(8)}); ` +
					`log in again if they may have read it, and: chmod 600 ${path}`,
			);
		}
		return loginsIn(file, path);
	} finally {
		closeSync(file);
	}
}

function loginsIn(file: number, path: string): Map<string, KeptLogin> {
	let logins: unknown;
	try {
		logins = JSON.parse(readFileSync(file, "utf8")).logins;
	} catch {
		// What a parser says of the text would show some of it.
	}
	const entries = Object.entries((logins ?? {}) as Record<string, KeptLogin>);
	if (typeof logins !== "object" || entries.some(([, login]) => typeof login?.token !== "string")) {
		throw new MillraceError(
			"failed_precondition",
			`${path} is not as millrace user login writes it; remove it, and log in again`,
		);
	}
	return new Map(entries);
}

/** Writes the logins whose tokens have not ended, whole or not at all. */
function writeLogins(path: string, logins: ReadonlyMap<string, KeptLogin>): void {
	const now = new Date().toISOString();
	const valid = [...logins].filter(([, { expireTime }]) => expireTime === null || expireTime > now);
	const temporary = `${path}.${randomUUID()}`;
	const text = `${JSON.stringify({ logins: Object.fromEntries(valid) }, undefined, "\t")}\n`;
	try {
		writeFileSync(temporary, text, { mode: 0o600, flag: "wx" });
		renameSync(temporary, path);
	} catch (error) {
		rmSync(temporary, { force: true });
		throw new MillraceError("permission_denied", `${path} cannot be written: ${messageOf(error)}`, { cause: error });
	}
}
