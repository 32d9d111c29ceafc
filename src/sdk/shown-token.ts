import { MillraceError } from "../errors.js";
import { keptToken } from "./token-file.js";

/** Which token to show. */
export interface TokenChoice {
	/**
	 * The token to show to a server that has accounts. Default: that of the environment's MILLRACE_TOKEN, else the one that
	 * `millrace user login` has kept for the server. An empty one stands for none.
	 */
	readonly token?: string | undefined;
}

/**
 * Returns the token to show to a server; undefined if there is none.
 *
 * @param servers What a login may be kept by: the server's address, or the real path of its data directory.
 *
 * Throws `invalid_argument` if it has characters that no token has, and what `keptToken` throws.
 */
export function shownToken(
	{ token }: TokenChoice,
	servers: readonly string[],
	environment: NodeJS.ProcessEnv = process.env,
): string | undefined {
	// A file that holds a secret often ends its line.
	const ofEnvironment = environment.MILLRACE_TOKEN?.trim();
	const shown = token?.trim() ?? (ofEnvironment || keptToken(servers, environment));
	if (shown && !/^[\x21-\x7e]+$/.test(shown)) {
		const name = token ? "token" : ofEnvironment ? "MILLRACE_TOKEN" : "the token of millrace user login";
		throw new MillraceError("invalid_argument", `${name} has characters that no token has; it is not shown here`);
	}
	return shown || undefined;
}
