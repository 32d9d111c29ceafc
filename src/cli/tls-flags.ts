import { type Command, Option } from "commander";
import type { Connection } from "../sdk/connection.js";
import { readTls, type TlsOptions, tlsOfEnvironment, tlsVariableNames } from "../sdk/tls-options.js";

/** How a command speaks to its server. */
export interface TlsFlags {
	tls?: boolean;
	tlsCa?: string;
	tlsCert?: string;
	tlsKey?: string;
	tlsServerName?: string;
}

/** Adds the flags that say how to speak TLS to a server. */
export function addTlsFlags(command: Command): Command {
	const flags = [
		new Option("--tls", "speak TLS to a server whose certificate is of a public CA (default: MILLRACE_TLS)"),
		new Option("--tls-ca <file>", "speak TLS to a server of a CA of this PEM file (default: MILLRACE_TLS_CA)"),
		new Option("--tls-cert <file>", "the PEM file of the certificate to show to it (default: MILLRACE_TLS_CERT)"),
		new Option("--tls-key <file>", "the PEM file of that certificate's key (default: MILLRACE_TLS_KEY)"),
		new Option(
			"--tls-server-name <name>",
			"the name in the server's certificate (default: MILLRACE_TLS_SERVER_NAME, else the host of the address)",
		),
	];
	for (const flag of flags) {
		command.addOption(flag.helpGroup("TLS:"));
	}
	return command;
}

/**
 * Returns what the flags say of TLS, with what only the environment says beside them; undefined if no flag is given, and
 * the environment says it all.
 *
 * Throws `invalid_argument` with the flag and the file if one cannot be read or does not fit.
 */
export function tlsOf(flags: TlsFlags, environment: NodeJS.ProcessEnv = process.env): TlsOptions | undefined {
	const { tls, tlsCa: ca, tlsCert: cert, tlsKey: key, tlsServerName: serverName } = flags;
	const given = Object.fromEntries(
		Object.entries({ ca, cert, key, serverName }).filter(([, value]) => value !== undefined),
	);
	if (!tls && Object.keys(given).length === 0) {
		return undefined;
	}
	const chosen = { ...tlsOfEnvironment({ ...environment, MILLRACE_TLS: "" }), ...given };
	// Here an error can name the flag. What is missing beside one is a flag too.
	const isHalfOfFlags = (field: "cert" | "key", other: "cert" | "key") => given[other] && !chosen[field];
	readTls(chosen, {
		ca: given.ca ? "--tls-ca" : tlsVariableNames.ca,
		cert: given.cert || isHalfOfFlags("cert", "key") ? "--tls-cert" : tlsVariableNames.cert,
		key: given.key || isHalfOfFlags("key", "cert") ? "--tls-key" : tlsVariableNames.key,
		serverName: "--tls-server-name",
	});
	return chosen;
}

/**
 * Returns how TLS is spoken on a connection, if it is: also by a name that only the server's data directory gives.
 *
 * @param chosen What `tlsOf` has returned.
 */
export function spokenTls({ channel }: Connection, chosen: TlsOptions | undefined): TlsOptions | undefined {
	const { tls } = channel.security;
	return tls && { ...(chosen ?? tlsOfEnvironment(process.env)), serverName: tls.serverName };
}
