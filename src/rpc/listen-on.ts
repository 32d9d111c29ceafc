import { createServer, type Server } from "node:net";
import { MillraceError } from "../errors.js";

/**
 * Has a listener accept connections, and returns the port. Port 0 takes a free one.
 *
 * Throws `already_exists` if the port is in use, saying what else to do in the words of `otherwise`, and
 * `invalid_argument` if the host is not one of this machine, or the port none.
 */
export async function listenOn(listener: Server, host: string, port: number, otherwise: string): Promise<number> {
	if (!(Number.isInteger(port) && port >= 0 && port <= 65_535)) {
		throw new MillraceError("invalid_argument", `the port is ${port}; give a whole number from 0 to 65535`);
	}
	return await new Promise((resolve, reject) => {
		// Later errors are about single connections, which their callers open again.
		listener.on("error", (cause: NodeJS.ErrnoException) => {
			if (cause.code === "EADDRINUSE") {
				reject(new MillraceError("already_exists", `port ${port} on ${host} is in use; ${otherwise}`, { cause }));
			} else {
				reject(new MillraceError("invalid_argument", `cannot listen on ${host}:${port}: ${cause.message}`, { cause }));
			}
		});
		listener.listen(port, host, () => {
			const address = listener.address();
			resolve(typeof address === "object" && address !== null ? address.port : port);
		});
	});
}

/** Throws what listening there would throw. */
export async function assertPortFree(host: string, port: number, otherwise: string): Promise<void> {
	const probe = createServer();
	await listenOn(probe, host, port, otherwise);
	await new Promise((resolve) => probe.close(resolve));
}
