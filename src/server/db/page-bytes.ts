/**
 * About the most bytes of the rows of one message of a stream, unless a single row has more. A caller that asks and never
 * reads keeps one such message in the server's memory.
 */
export const pageBytes = 256 * 1024;

/** The most rows of one message of a stream. */
export const pageRows = 500;

/**
 * Returns how many rows to look at for the next page, after one that looked at `ahead` rows and took `taken` of them: about
 * as many as have room in it.
 */
export function rowsAhead(ahead: number, taken: number): number {
	const hadRoom = taken === ahead;
	return Math.min(pageRows, hadRoom ? 2 * ahead + 1 : Math.ceil(taken * 1.25) + 1);
}
