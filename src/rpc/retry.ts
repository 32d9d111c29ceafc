import { MillraceError } from "../errors.js";

/** How long to wait before attempt `attempt` (from 1 on): doubling from 50 ms to 2 s, with up to half of it at random. */
export function backoffMs(attempt: number, random: () => number = Math.random): number {
	const full = Math.min(2_000, 50 * 2 ** (attempt - 1));
	return full / 2 + (full / 2) * random();
}

/** Waits; rejects with `cancelled` when the signal is aborted. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
	return new Promise((resolve, reject) => {
		const cancelled = () =>
			reject(new MillraceError("cancelled", "cancelled by the caller", { cause: signal?.reason }));
		if (signal?.aborted) {
			cancelled();
			return;
		}
		const timer = setTimeout(() => {
			signal?.removeEventListener("abort", onAbort);
			resolve();
		}, ms);
		const onAbort = () => {
			clearTimeout(timer);
			cancelled();
		};
		signal?.addEventListener("abort", onAbort, { once: true });
	});
}
