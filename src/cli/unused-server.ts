/** How long an embedded server waits, in milliseconds. */
export interface UnusedTimes {
	/** For the first connection. Default 15,000. */
	readonly firstMs?: number;
	/** For the next connection after the last was closed. Default 3,000. */
	readonly idleMs?: number;
}

/**
 * Resolves when nobody uses a server any more: when no connection came in time, or the last one was closed
 * and no other came in time.
 *
 * @param onConnectionCount Calls its argument with the number of open connections, now and when it changes.
 */
export function untilUnused(
	onConnectionCount: (listener: (count: number) => void) => unknown,
	{ firstMs = 15_000, idleMs = 3_000 }: UnusedTimes = {},
): Promise<void> {
	return new Promise((resolve) => {
		let timer = setTimeout(resolve, firstMs);
		let wasUsed = false;
		onConnectionCount((count) => {
			wasUsed ||= count > 0;
			if (wasUsed) {
				clearTimeout(timer);
			}
			if (wasUsed && count === 0) {
				timer = setTimeout(resolve, idleMs);
			}
		});
	});
}
