import type { TlsOptions } from "node:tls";

/** What a server that speaks TLS shows to its callers, and wants to be shown. All are PEM texts. */
export interface ServerTls {
	/** The certificate, with those of the CAs between it and the one that callers trust after it. */
	readonly cert: string;
	/** The certificate's private key. */
	readonly key: string;
	/** The CAs of which each caller has to have a certificate. Default: callers need none. */
	readonly clientCa?: string | undefined;
}

/** Returns the options of a server of node:tls or node:https that shows this certificate, and refuses callers without theirs. */
export function tlsServerOptions({ cert, key, clientCa }: ServerTls): TlsOptions {
	const mutual = clientCa === undefined ? {} : { ca: clientCa, requestCert: true, rejectUnauthorized: true };
	return { cert, key, ...mutual };
}
