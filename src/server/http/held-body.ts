import type { IncomingMessage } from "node:http";
import { maxMessageBytes } from "../../rpc/channel.js";
import { type MemoryEvents, type RequestMemory, smallRequest } from "../../rpc/limits/request-memory.js";

/** How many times as long a compressed body may become. */
const mostInflation = 1_032;

/**
 * Reads the body of a request while the server has memory for it, and ends once it has the memory to handle it too.
 *
 * Throws `resource_exhausted`, for now, if there is none for long, or the body comes too slowly while others wait.
 *
 * @param onLent Called with a function that gives the memory back, which is to be called when the request is handled.
 */
export async function* heldBody(
	request: IncomingMessage,
	body: AsyncIterable<Uint8Array>,
	memory: RequestMemory,
	onLent: (end: () => void) => void,
): AsyncGenerator<Uint8Array> {
	const bytes = mostBytes(request);
	if (bytes <= smallRequest) {
		yield* body;
		return;
	}
	let refuse: (error: Error) => void = () => {};
	const refused = new Promise<never>((_, reject) => {
		refuse = reject;
	});
	// It may be refused while nobody waits for it here.
	refused.catch(() => {});
	const lent = (ask: (events: MemoryEvents) => { readonly isLent: boolean }): Promise<void> => {
		const waiting = new Promise<void>((resolve) => {
			if (ask({ onLent: resolve, onRefused: refuse }).isLent) {
				resolve();
			}
		});
		return Promise.race([waiting, refused]);
	};
	let endReception = () => {};
	try {
		let take: (received: number) => void = () => {};
		await lent((events) => {
			const reception = memory.receive(bytes, request.socket, events);
			endReception = () => reception.end();
			take = (received) => reception.take(received);
			return reception;
		});
		const pieces = body[Symbol.asyncIterator]();
		for (;;) {
			const next = await Promise.race([pieces.next(), refused]);
			if (next.done) {
				break;
			}
			take(next.value.length);
			yield next.value;
		}
		await lent((events) => {
			const loan = memory.handle(bytes, events);
			onLent(() => loan.end());
			return loan;
		});
	} finally {
		endReception();
	}
}

/** Returns how many bytes a body may have once it is unpacked. */
function mostBytes({ headers }: IncomingMessage): number {
	const stated = headers["content-length"];
	if (stated === undefined) {
		return headers["transfer-encoding"] === undefined ? 0 : maxMessageBytes;
	}
	const encoding = headers["content-encoding"] ?? headers["connect-content-encoding"] ?? "identity";
	return Math.min(maxMessageBytes, Number(stated) * (encoding === "identity" ? 1 : mostInflation));
}
