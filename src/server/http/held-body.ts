import type { IncomingMessage } from "node:http";
import { MillraceError } from "../../errors.js";
import { maxMessageBytes } from "../../rpc/channel.js";
import {
	type MemoryEvents,
	mostUnpacked,
	type Reception,
	type RequestMemory,
	smallRequest,
} from "../../rpc/limits/request-memory.js";

/** What holds a body. */
export interface BodyHolder {
	readonly memory: RequestMemory;
	/** The most bytes that it may have, before it is unpacked. */
	readonly maxBytes: number;
	/** Whether it asks for a stream: then it is small, and would hold memory for as long as that goes on. */
	readonly isStream: boolean;
	/** Called with a function that gives the memory back, which is to be called when the request is handled. */
	onLent(end: () => void): void;
}

/**
 * Reads the body of a request while the server has memory for it, and ends once it has the memory to handle it too.
 *
 * Throws `resource_exhausted` if it is too large; for now, if there is no memory for long, or the body comes too slowly while
 * others wait.
 */
export async function* heldBody(
	request: IncomingMessage,
	body: AsyncIterable<Uint8Array>,
	{ memory, maxBytes, isStream, onLent }: BodyHolder,
): AsyncGenerator<Uint8Array> {
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
	let reception: Reception | undefined;
	const hold = () =>
		lent((events) => {
			reception = memory.receive(mostBytes(request), request.socket, events);
			return reception;
		});
	let received = 0;
	try {
		if (statedBytes(request) > maxBytes) {
			throw tooLarge(maxBytes);
		}
		if (isLarge(statedBytes(request))) {
			await hold();
		}
		const pieces = body[Symbol.asyncIterator]();
		for (;;) {
			const next = await Promise.race([pieces.next(), refused]);
			if (next.done) {
				break;
			}
			received += next.value.length;
			if (received > maxBytes) {
				throw tooLarge(maxBytes);
			}
			if (reception === undefined && isLarge(received)) {
				await hold();
			}
			reception?.take(next.value.length);
			yield next.value;
		}
		const whole = isPacked(request) ? mostUnpacked(received) : received;
		if (isLarge(whole) && !isStream) {
			await lent((events) => {
				const loan = memory.handle(whole, events);
				onLent(() => loan.end());
				return loan;
			});
		}
	} finally {
		reception?.end();
	}
}

function tooLarge(maxBytes: number): MillraceError {
	const message = `the body has more than ${maxBytes} bytes, the most that are taken; send less at a time`;
	return new MillraceError("resource_exhausted", message);
}

function isLarge(bytes: number): boolean {
	return bytes > smallRequest;
}

/** Returns how many bytes a body says that it has; 0 if it does not say so. */
function statedBytes({ headers }: IncomingMessage): number {
	return Number(headers["content-length"] ?? 0);
}

/** Returns how many bytes a body may have, as it comes. */
function mostBytes(request: IncomingMessage): number {
	return Math.min(maxMessageBytes, statedBytes(request) || maxMessageBytes);
}

function isPacked({ headers }: IncomingMessage): boolean {
	return (headers["content-encoding"] ?? headers["connect-content-encoding"] ?? "identity") !== "identity";
}
