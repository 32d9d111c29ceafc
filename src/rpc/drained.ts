import type { Writable } from "node:stream";

/** Waits until a stream takes more, or the signal is aborted: what is broken never drains. */
export function drained(stream: Writable, signal: AbortSignal): Promise<void> {
	return new Promise((resolve) => {
		const done = () => {
			stream.off("drain", done);
			signal.removeEventListener("abort", done);
			resolve();
		};
		stream.once("drain", done);
		signal.addEventListener("abort", done, { once: true });
		if (signal.aborted) {
			done();
		}
	});
}
