import { isIP } from "node:net";
import { checkServerIdentity, type PeerCertificate } from "node:tls";
import { type ChannelCredentials, type ChannelOptions, credentials } from "@grpc/grpc-js";
import { hostOf } from "./host-of.js";

/** How a channel speaks TLS. All but the name are PEM texts. It passes between threads as it is. */
export interface ChannelTls {
	/** The CAs whose servers are trusted. Default: the public ones, as Node has them. */
	readonly ca?: string | undefined;
	/** The certificate to show to a server that asks for one, with those of the CAs above it after it. Default: none. */
	readonly cert?: string | undefined;
	/** The certificate's private key. */
	readonly key?: string | undefined;
	/** The name that the server's certificate has to have. Default: the host of the server's address. */
	readonly serverName?: string | undefined;
}

/** Returns the name to ask a server for by SNI, which has no addresses: undefined if all that is known is one. */
export function askedName(address: string, tls: ChannelTls): string | undefined {
	const name = tls.serverName ?? hostOf(address);
	return isIP(name) === 0 ? name : undefined;
}

/** Tells what is wrong with a server's certificate: whether it is one of the name that the channel expects. */
export function identityCheck(address: string, tls: ChannelTls) {
	const name = tls.serverName ?? hostOf(address);
	return (_asked: string, certificate: PeerCertificate) => checkServerIdentity(name, certificate);
}

/** Makes grpc-js's credentials for a channel to an address, and the options that go with them. */
export function grpcTls(
	address: string,
	tls: ChannelTls,
): { credentials: ChannelCredentials; options: ChannelOptions } {
	const { ca, cert, key } = tls;
	return {
		credentials: credentials.createSsl(bytes(ca), bytes(key), bytes(cert), {
			checkServerIdentity: identityCheck(address, tls),
		}),
		// grpc-js would ask for an address by name, and have Node warn of it on stderr. It cannot ask for nothing.
		options: { "grpc.ssl_target_name_override": askedName(address, tls) ?? "no-name.invalid" },
	};
}

function bytes(pem: string | undefined): Buffer | null {
	return pem === undefined ? null : Buffer.from(pem);
}
