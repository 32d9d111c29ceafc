import { resolve } from "node:path";
import { MillraceError } from "../errors.js";
import { readCertificates, readKeyPair } from "../pem-files.js";
import type { ChannelTls } from "../rpc/channel-tls.js";
import { assertKnownOptions } from "./assert-options.js";
import { assertPath } from "./assert-path.js";
import { assertString } from "./assert-string.js";
import { shown } from "./shown.js";

/** By which certificates TLS is spoken. */
export interface TlsOptions {
	/** A PEM file with the certificates of the CAs whose servers are trusted. Default: the public CAs, as Node has them. */
	readonly ca?: string | undefined;
	/** A PEM file with the certificate to show to a server that asks for one. Default: none is shown. */
	readonly cert?: string | undefined;
	/** A PEM file with the private key of `cert`, not encrypted. */
	readonly key?: string | undefined;
	/** The name that the server's certificate must have. Default: the host of the server's address. */
	readonly serverName?: string | undefined;
}

/** How an error calls each of the settings of TLS. */
export type TlsSettingNames = Readonly<Record<keyof TlsOptions, string>>;

const fields = ["ca", "cert", "key", "serverName"] as const;

/** The settings as options. */
export const tlsOptionNames: TlsSettingNames = {
	ca: "tls.ca",
	cert: "tls.cert",
	key: "tls.key",
	serverName: "tls.serverName",
};

/** The settings as variables of the environment. */
export const tlsVariableNames: TlsSettingNames = {
	ca: "MILLRACE_TLS_CA",
	cert: "MILLRACE_TLS_CERT",
	key: "MILLRACE_TLS_KEY",
	serverName: "MILLRACE_TLS_SERVER_NAME",
};

/** Returns the files and the name that the environment gives for TLS; undefined if it says plain text, or nothing. */
export function tlsOfEnvironment(environment: NodeJS.ProcessEnv): TlsOptions | undefined {
	const { MILLRACE_TLS: isAsked = "" } = environment;
	if (!["", "0", "1"].includes(isAsked)) {
		const rule = "it must be 1 for TLS, 0 for plain text, or unset";
		throw new MillraceError("invalid_argument", `MILLRACE_TLS is ${shown(isAsked)}; ${rule}`);
	}
	const given = fields.filter((field) => environment[tlsVariableNames[field]]);
	if (isAsked === "0" || (isAsked === "" && given.length === 0)) {
		return undefined;
	}
	return Object.fromEntries(given.map((field) => [field, environment[tlsVariableNames[field]]]));
}

/** Returns the variables that let a process in any directory speak to a server as this one does. */
export function tlsVariables(tls: TlsOptions | undefined): Record<string, string> {
	const entries = fields.map((field) => {
		const value = tls?.[field] ?? "";
		return [tlsVariableNames[field], field === "serverName" || value === "" ? value : resolve(value)];
	});
	return { MILLRACE_TLS: tls === undefined ? "0" : "1", ...Object.fromEntries(entries) };
}

/**
 * Reads the files of TLS.
 *
 * @param names How an error calls the settings.
 *
 * Throws `invalid_argument` with the setting and the file if one cannot be read or does not fit.
 */
export function readTls({ ca, cert, key, serverName }: TlsOptions, names: TlsSettingNames): ChannelTls {
	if (Boolean(cert) !== Boolean(key)) {
		const [given, missing] = cert ? [names.cert, names.key] : [names.key, names.cert];
		throw new MillraceError("invalid_argument", `${given} is given without ${missing}; give both files`);
	}
	return {
		...(ca && { ca: readCertificates({ setting: names.ca, path: ca }) }),
		...(cert && key && readKeyPair({ setting: names.cert, path: cert }, { setting: names.key, path: key })),
		...(serverName && { serverName }),
	};
}

/** Throws `invalid_argument` if a value cannot be the option `tls`. Reads no file. */
export function assertTls(tls: unknown): asserts tls is boolean | TlsOptions | undefined {
	if (tls === undefined || typeof tls === "boolean") {
		return;
	}
	if (typeof tls !== "object" || tls === null) {
		throw new MillraceError("invalid_argument", `tls is ${shown(tls)}; it must be true, false, or { ca: "ca.pem" }`);
	}
	const options: TlsOptions = tls;
	assertKnownOptions(options, "tls", fields);
	for (const field of fields) {
		if (options[field] !== undefined) {
			field === "serverName"
				? assertString(options[field], tlsOptionNames[field])
				: assertPath(options[field], tlsOptionNames[field]);
		}
	}
}
