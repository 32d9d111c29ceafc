import { setTimeout } from "node:timers/promises";

/** How many rows are written at once. */
const chunkSize = 500;

/** How long rows of a live list wait for others that come with them, in milliseconds. */
const gatherMs = 50;

/**
 * Gathers rows to be written together, so that a list of a million is neither held in memory nor written row by row.
 * Where the list is live, those that are there do not wait for later ones.
 */
export async function* rowChunks<T>(rows: AsyncIterable<T> | Iterable<T>, isLive = false): AsyncGenerator<T[]> {
	let chunk: T[] = [];
	if (!isLive) {
		for await (const row of rows) {
			chunk.push(row);
			if (chunk.length === chunkSize) {
				yield chunk;
				chunk = [];
			}
		}
	} else {
		const iterator = (async function* () {
			yield* rows;
		})();
		try {
			let next = iterator.next();
			for (let result = await next; !result.done; ) {
				chunk.push(result.value);
				next = iterator.next();
				const later = await Promise.race([next, chunk.length < chunkSize ? setTimeout(gatherMs) : undefined]);
				if (later === undefined) {
					yield chunk;
					chunk = [];
				}
				result = later ?? (await next);
			}
		} finally {
			// A row that is still waited for would hold this up.
			void iterator.return(undefined).catch(() => {});
		}
	}
	if (chunk.length > 0) {
		yield chunk;
	}
}
