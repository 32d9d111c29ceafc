import type { Http2Session } from "node:http2";

/** How long a connection is kept narrow, in milliseconds. */
const narrowMs = 10_000;

const narrowed = new WeakSet<object>();

/**
 * Tells a client whose calls are refused again and again to have few at a time: clients of gRPC let the others wait on
 * their side. What a client begins all the same is refused by the transport, which costs nothing.
 *
 * @param few How many calls it may have meanwhile.
 * @param most How many afterwards.
 */
export function narrow(session: Http2Session | undefined, few: number, most: number): void {
	if (session === undefined || session.destroyed || narrowed.has(session)) {
		return;
	}
	narrowed.add(session);
	session.settings({ maxConcurrentStreams: Math.min(few, most) });
	setTimeout(() => {
		narrowed.delete(session);
		if (!session.destroyed) {
			session.settings({ maxConcurrentStreams: most });
		}
	}, narrowMs).unref();
}
