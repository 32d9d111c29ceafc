import { X509Certificate } from "node:crypto";
import { connect } from "node:tls";
import { askedName, type ChannelTls, identityCheck } from "./channel-tls.js";
import { hostAndPort } from "./host-of.js";
import { probe } from "./probe.js";

/** What came of speaking TLS to a server. */
export type TlsProbe =
	/** Nothing that TLS would explain: it is all right, or nobody answers. */
	| { readonly kind: "unknown" }
	/** The server answers, but not by TLS. */
	| { readonly kind: "plain" }
	/** The server's certificate is no good for this client, for a reason of OpenSSL's or Node's. */
	| { readonly kind: "untrusted"; readonly reason: string; readonly certificate: X509Certificate }
	/** The server has ended the connection by an alert of TLS. */
	| { readonly kind: "alert"; readonly code: string }
	/** The handshake was done, and then the server closed the connection without a word. */
	| { readonly kind: "dropped" }
	/** The handshake was done, and the server went on. */
	| { readonly kind: "fine" };

/** What OpenSSL says of an answer that is not TLS. */
const noTls = new Set(["ERR_SSL_WRONG_VERSION_NUMBER", "ERR_SSL_PACKET_LENGTH_TOO_LONG"]);

/** Makes a connection of its own to find out what becomes of TLS on it; sends nothing but the handshake. Throws nothing. */
export function probeTls(address: string, tls: ChannelTls, signal?: AbortSignal): Promise<TlsProbe> {
	const { ca, cert, key } = tls;
	const servername = askedName(address, tls);
	const socket = connect({
		...hostAndPort(address),
		...{ ca, cert, key },
		...(servername !== undefined && { servername }),
		checkServerIdentity: identityCheck(address, tls),
		ALPNProtocols: ["h2"],
		// What is wrong with the certificate is what we want to see. Nothing is said on this connection.
		rejectUnauthorized: false,
	});
	return probe<TlsProbe>(socket, { kind: "unknown" }, signal, (settle) => {
		let isSecure = false;
		socket.on("secureConnect", () => {
			isSecure = true;
			const certificate = socket.getPeerX509Certificate();
			if (!socket.authorized && certificate !== undefined) {
				settle({ kind: "untrusted", reason: String(socket.authorizationError), certificate });
			}
		});
		// A server of HTTP/2 speaks first. One that wants another certificate of ours says so only after the handshake.
		socket.on("data", () => settle({ kind: "fine" }));
		socket.on("error", ({ code = "" }: NodeJS.ErrnoException) => {
			if (code.startsWith("ERR_SSL_") && code.includes("ALERT")) {
				settle({ kind: "alert", code });
			} else if (noTls.has(code)) {
				settle({ kind: "plain" });
			}
		});
		socket.on("close", () => settle(isSecure ? { kind: "dropped" } : { kind: "unknown" }));
	});
}

/** Returns the certificates of a PEM text. Throws if one is malformed. */
export function certificatesOf(pem: string): X509Certificate[] {
	const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
	return blocks.map((block) => new X509Certificate(block));
}
