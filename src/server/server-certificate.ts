import { X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import { MillraceError } from "../errors.js";
import { readCertificates, readKeyPair } from "../pem-files.js";
import type { ServerTls } from "../rpc/server-tls.js";

/** The PEM files of a server that speaks TLS. */
export interface ServerTlsFiles {
	/** The certificate, with those of the CAs between it and the one that clients trust after it. */
	readonly cert: string;
	/** The certificate's private key, not encrypted. */
	readonly key: string;
	/** The CAs of which each client has to have a certificate. Default: clients need none. */
	readonly clientCa?: string | undefined;
}

/**
 * Reads the files of a server that speaks TLS.
 *
 * Throws `invalid_argument` with the setting and the file if one is missing, cannot be read, or does not fit.
 */
export function readServerTls(files: ServerTlsFiles): ServerTls {
	for (const name of ["cert", "key"] as const) {
		if (!files[name]) {
			const other = name === "cert" ? "key" : "cert";
			const given = files[other] ? settings[other] : settings.clientCa;
			throw new MillraceError("invalid_argument", `${given} is given without ${settings[name]}; give both files`);
		}
	}
	const { cert, key, clientCa } = files;
	return {
		...readKeyPair({ setting: settings.cert, path: cert }, { setting: settings.key, path: key }),
		...(clientCa && { clientCa: readCertificates({ setting: settings.clientCa, path: clientCa }) }),
	};
}

const settings = {
	cert: "tls.cert (--tls-cert)",
	key: "tls.key (--tls-key)",
	clientCa: "tls.clientCa (--tls-client-ca)",
} as const;

/**
 * Returns the name by which clients on this machine have to expect the certificate, where it is not the host at which they
 * reach the server; undefined where it is, or the certificate has no name.
 */
export function nameBesides(host: string, { cert }: ServerTls): string | undefined {
	const certificate = new X509Certificate(cert);
	const fits = isIP(host) === 0 ? certificate.checkHost(host) : certificate.checkIP(host);
	if (fits !== undefined) {
		return undefined;
	}
	const name = /(?:^|, )(?:DNS|IP Address):([^,]+)/.exec(certificate.subjectAltName ?? "")?.[1];
	// Any name will do that the pattern fits.
	return name?.replace(/^\*\./, "millrace.");
}

/** Returns when the certificate of a server expired, as an ISO date; undefined if it has not. */
export function expiryOf({ cert }: ServerTls): string | undefined {
	const end = new Date(new X509Certificate(cert).validTo);
	return end.getTime() < Date.now() ? end.toISOString() : undefined;
}
