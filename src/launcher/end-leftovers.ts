import type { ProcessGroup } from "./process-group.js";

/**
 * What is sent to what is left of an entrypoint whose run is over, and how long after what came before it, in
 * milliseconds. At the second SIGTERM, `millrace launch` kills its workers: those that are stuck or frozen
 * hear nothing of the first, and would outlive it if it were killed itself.
 */
const steps: readonly (readonly [number, NodeJS.Signals])[] = [
	[5_000, "SIGTERM"],
	[5_000, "SIGTERM"],
	[2_000, "SIGKILL"],
];

/**
 * Ends an entrypoint whose run is over, unless it ends by itself in time. `onFirst` is called before the first signal.
 * Returns what calls that off.
 */
export function endLeftovers(group: Pick<ProcessGroup, "signal" | "isGone">, onFirst: () => void): () => void {
	let timer: NodeJS.Timeout | undefined;
	const next = (index: number) => {
		const [waitMs, signal] = steps[index] ?? [];
		if (signal === undefined) {
			return;
		}
		timer = setTimeout(() => {
			if (index === 0 && !group.isGone()) {
				onFirst();
			}
			group.signal(signal);
			next(index + 1);
		}, waitMs);
	};
	next(0);
	return () => clearTimeout(timer);
}
