/** Signals that ask this process to stop, from the moment on that it asked for them. */
export interface StopSignals {
	/** Calls `onSignal` for each signal that has come and will come. */
	deliver(onSignal: (signal: NodeJS.Signals) => void): void;
}

/**
 * How long after one signal others count as the same, in milliseconds. Wrappers such as npx and tsx pass on to
 * us what their whole group, and we in it, got already; that must not look like somebody asking twice.
 */
const echoMs = 1_000;

/**
 * Takes over SIGTERM, SIGINT and SIGHUP, which would end the process, and keeps them until they are delivered.
 *
 * @param output Streams whose broken pipe counts as a SIGPIPE, unless another signal came before. Default: none.
 */
export function onStopSignals(output: readonly NodeJS.WritableStream[] = []): StopSignals {
	const waiting: NodeJS.Signals[] = [];
	let take = (signal: NodeJS.Signals): void => {
		waiting.push(signal);
	};
	let last = Number.NEGATIVE_INFINITY;
	const receive = (signal: NodeJS.Signals) => {
		const now = performance.now();
		if (now - last >= echoMs) {
			last = now;
			take(signal);
		}
	};
	for (const name of ["SIGTERM", "SIGINT", "SIGHUP"] as const) {
		process.on(name, () => receive(name));
	}
	for (const stream of output) {
		stream.on("error", (error: NodeJS.ErrnoException) => {
			// Every later write fails too. Nobody asks twice by that, nor when a signal ended the reader as well.
			if (error.code === "EPIPE" && last === Number.NEGATIVE_INFINITY) {
				receive("SIGPIPE");
			}
		});
	}
	return {
		deliver(onSignal) {
			take = onSignal;
			waiting.splice(0).forEach(onSignal);
		},
	};
}
