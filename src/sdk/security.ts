import type { ChannelSecurity } from "../rpc/channel.js";
import type { ChannelTls } from "../rpc/channel-tls.js";
import { shownToken, type TokenChoice } from "./shown-token.js";
import { readTls, type TlsOptions, tlsOfEnvironment, tlsOptionNames, tlsVariableNames } from "./tls-options.js";

/** How to show to a server who we are, and to be sure who it is. */
export interface SecurityChoice extends TokenChoice {
	/**
	 * Whether to speak TLS to the server, and by which certificates; `true` stands for a server whose certificate is of a
	 * public CA. Default: what the environment's MILLRACE_TLS_CA, MILLRACE_TLS_CERT, MILLRACE_TLS_KEY,
	 * MILLRACE_TLS_SERVER_NAME and MILLRACE_TLS (1 or 0) say, else plain text.
	 */
	readonly tls?: boolean | TlsOptions | undefined;
}

/**
 * Returns what a connection shows and wants to be shown, with the files read.
 *
 * @param servers As for `shownToken`.
 *
 * Throws what `shownToken` and `chosenTls` throw.
 */
export function securityOf(
	choice: SecurityChoice,
	servers: readonly string[],
	environment: NodeJS.ProcessEnv = process.env,
): ChannelSecurity {
	return { tls: chosenTls(choice, environment), token: shownToken(choice, servers, environment) };
}

/**
 * Returns how TLS is to be spoken, with the files read; undefined for plain text.
 *
 * Throws `invalid_argument` with the option or the variable, and the file, if one cannot be read or does not fit.
 */
export function chosenTls(
	{ tls }: SecurityChoice,
	environment: NodeJS.ProcessEnv = process.env,
): ChannelTls | undefined {
	if (tls !== undefined) {
		return tls === false ? undefined : readTls(tls === true ? {} : tls, tlsOptionNames);
	}
	const chosen = tlsOfEnvironment(environment);
	return chosen && readTls(chosen, tlsVariableNames);
}
