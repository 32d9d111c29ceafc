/** The most that the clock goes forward between two readings, in milliseconds. */
const mostMs = 500;

/**
 * Makes a clock, in milliseconds, that stands still while this process does: frozen, suspended with its machine, or
 * busy for long. So nobody's lease runs out because we did not listen. It goes right while it is read at least
 * twice a second.
 */
export function createAwakeClock(now: () => number = () => performance.now()): () => number {
	let last = now();
	let awake = 0;
	return () => {
		const real = now();
		awake += Math.min(real - last, mostMs);
		last = real;
		return awake;
	};
}
