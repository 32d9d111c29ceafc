/**
 * What a server lists. `for await` streams it item by item; `await` gives all of it as an array. Nothing
 * is sent before one of the two, and each use is a new request.
 *
 * Python: the generator or list of a `list_…` or `iter_…` method.
 */
export interface AsyncList<T> extends AsyncIterable<T>, PromiseLike<T[]> {}

/** Makes an AsyncList of a function that starts one reading. */
export function asyncList<T>(open: () => AsyncIterable<T>): AsyncList<T> {
	return {
		[Symbol.asyncIterator]: () => open()[Symbol.asyncIterator](),
		// biome-ignore lint/suspicious/noThenProperty: to be awaited is what it is for
		then: (onFulfilled, onRejected) => toArray(open()).then(onFulfilled, onRejected),
	};
}

/** Reads all pages of a list. `fetch` gets the token of the page to read, "" for the first. */
export function pagedList<T>(
	fetch: (page: { pageToken: string; pageSize: number }) => Promise<{ items: readonly T[]; nextPageToken: string }>,
): AsyncList<T> {
	return asyncList(async function* () {
		let pageToken = "";
		do {
			const page = await fetch({ pageToken, pageSize: 200 });
			yield* page.items;
			pageToken = page.nextPageToken;
		} while (pageToken !== "");
	});
}

async function toArray<T>(items: AsyncIterable<T>): Promise<T[]> {
	const array: T[] = [];
	for await (const item of items) {
		array.push(item);
	}
	return array;
}
