/** A stream of this process's output. */
export type OutputName = "stdout" | "stderr";

type Write = typeof process.stdout.write;

/**
 * Shows `onChunk` what this process writes to stdout and stderr through Node, after it has gone its way. What `onChunk`
 * throws, and what it writes itself, goes nowhere. Returns the function that ends it.
 */
export function teeOutput(onChunk: (name: OutputName, chunk: Uint8Array | string) => void): () => void {
	let isEnded = false;
	let isInside = false;
	const restores = (["stdout", "stderr"] as const).map((name) => {
		const stream = process[name];
		const { write } = stream;
		const show = (chunk: unknown, encoding: unknown) => {
			if (isEnded || isInside) {
				return;
			}
			isInside = true;
			try {
				if (typeof chunk === "string") {
					const isText = typeof encoding !== "string" || /^utf-?8$/i.test(encoding);
					onChunk(name, isText ? chunk : Buffer.from(chunk, encoding as BufferEncoding));
				} else if (chunk instanceof Uint8Array) {
					onChunk(name, chunk);
				}
			} catch {
				// Who prints has no part in it.
			} finally {
				isInside = false;
			}
		};
		const teed = function (this: typeof stream, ...parameters: unknown[]) {
			const result = Reflect.apply(write, this, parameters);
			show(parameters[0], parameters[1]);
			return result;
		} as Write;
		stream.write = teed;
		return () => {
			// Somebody else may have put his own around it.
			if (stream.write === teed) {
				stream.write = write;
			}
		};
	});
	return () => {
		isEnded = true;
		for (const restore of restores) {
			restore();
		}
	};
}
