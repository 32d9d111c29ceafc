import { isMillraceError } from "../errors.js";
import { backoffMs, sleep } from "../rpc/retry.js";

/** How long a write is tried while the ledger takes none, in milliseconds. */
const recordMs = 300_000;

/**
 * Does a write of the ledger, and again while it fails with `unavailable`, as on a full disk, for up to 5 minutes.
 * Calls `onTrouble` with the first such error. Rejects with `cancelled` when the signal is aborted.
 */
export async function untilRecorded<T>(
	write: () => Promise<T>,
	signal: AbortSignal,
	onTrouble: (error: unknown) => void,
): Promise<T> {
	const start = performance.now();
	for (let attempt = 1; ; attempt++) {
		try {
			return await write();
		} catch (error) {
			if (!isMillraceError(error, "unavailable") || performance.now() - start > recordMs) {
				throw error;
			}
			if (attempt === 1 && !signal.aborted) {
				onTrouble(error);
			}
			await sleep(backoffMs(attempt), signal);
		}
	}
}
