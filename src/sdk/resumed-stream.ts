import { isMillraceError } from "../errors.js";

/**
 * Reads the batches of the stream that `open` starts for a resume token, "" for the start. A stream that breaks, as
 * when the server is started again, goes on after the last batch that came.
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
			// Before its first message the call is repeated by the client: where that failed, no server came back.
			if (!hasCome || resumeToken === "" || !isMillraceError(error, "unavailable")) {
				throw error;
			}
		}
	}
}
