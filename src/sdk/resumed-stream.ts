import { isMillraceError } from "../errors.js";

/**
 * Reads the batches of the stream that `open` starts for a resume token, "" for the start. A stream that breaks, as
 * when the server is started again, or that was read so slowly that the server ended it, goes on after the last batch
 * that came.
 *
 * Reading throws `unavailable` if the server does not come back.
 */
export async function* resumedStream<Batch extends { readonly resumeToken: string }>(
	open: (resumeToken: string) => Promise<AsyncIterable<Batch>>,
): AsyncGenerator<Batch> {
	let resumeToken = "";
	for (;;) {
		let hasCome = false;
		try {
			for await (const batch of await open(resumeToken)) {
				hasCome = true;
				resumeToken = batch.resumeToken;
				yield batch;
			}
			return;
		} catch (error) {
			// The server ends a stream, too, of which nothing was taken for long while it needed the memory.
			const isBroken = isMillraceError(error, "unavailable") || isMillraceError(error, "resource_exhausted");
			// Before its first message the call is repeated by the client: where that failed, no server came back.
			if (!hasCome || resumeToken === "" || !isBroken) {
				throw error;
			}
		}
	}
}
