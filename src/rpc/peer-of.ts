import type { Socket } from "node:net";

/** Returns who is at the other end of a connection, as `host:port`: it names the connection. */
export function peerOf({ remoteAddress, remotePort }: Socket): string {
	return `${remoteAddress}:${remotePort}`;
}
