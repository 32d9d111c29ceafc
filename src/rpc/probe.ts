import type { Socket } from "node:net";

/** How long a server may take, in milliseconds. */
const probeMs = 2_000;

/**
 * Finds out something by a connection of its own, which is closed then. Throws nothing.
 *
 * @param nothing What is found if the server shows nothing in time, or the signal is aborted.
 * @param listen Listens to the connection, and calls `settle` with what it shows.
 */
export function probe<T>(
	socket: Socket,
	nothing: T,
	signal: AbortSignal | undefined,
	listen: (settle: (found: T) => void) => void,
): Promise<T> {
	return new Promise((resolve) => {
		const settle = (found: T) => {
			clearTimeout(timer);
			signal?.removeEventListener("abort", giveUp);
			socket.destroy();
			resolve(found);
		};
		const giveUp = () => settle(nothing);
		const timer = setTimeout(giveUp, probeMs);
		signal?.addEventListener("abort", giveUp, { once: true });
		socket.on("error", () => {});
		listen(settle);
		socket.on("close", giveUp);
		if (signal?.aborted) {
			giveUp();
		}
	});
}
