/** Signals that ask this process to stop, from the moment on that it asked for them. */
export interface StopSignals {
	/** Calls `onSignal` for each signal that has come and will come. */
	deliver(onSignal: (signal: NodeJS.Signals) => void): void;
	/** Counts as this signal, unless one came before: nobody asks twice by it. */
	ask(signal: NodeJS.Signals): void;
	/**
	 * Leaves the signals that come from now on to Node, whose answer is to end the process. What may still be an
	 * echo of the last signal is not among them.
	 */
	release(): void;
}

/** Which signals to take over. */
export interface StopSignalOptions {
	/** Default: SIGTERM, SIGINT and SIGHUP. */
	readonly names?: readonly NodeJS.Signals[];
	/** Streams whose broken pipe counts as a SIGPIPE, unless another signal came before. Default: none. */
	readonly output?: readonly NodeJS.WritableStream[];
}

/**
 * How long after one signal others count as the same, in milliseconds. Wrappers such as npx and tsx pass on to
 * us what their whole group, and we in it, got already; that must not look like somebody asking twice.
 */
const echoMs = 1_000;

/** Takes over signals that would end the process, and keeps them until they are delivered. */
export function onStopSignals(options: StopSignalOptions = {}): StopSignals {
	const { names = ["SIGTERM", "SIGINT", "SIGHUP"], output = [] } = options;
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
	for (const name of names) {
		process.on(name, receive);
	}
	const ask = (signal: NodeJS.Signals) => {
		if (last === Number.NEGATIVE_INFINITY) {
			receive(signal);
		}
	};
	for (const stream of output) {
		stream.on("error", (error: NodeJS.ErrnoException) => {
			// Every later write fails too, and a signal may have ended the reader as well.
			if (error.code === "EPIPE") {
				ask("SIGPIPE");
			}
		});
	}
	return {
		deliver(onSignal) {
			take = onSignal;
			waiting.splice(0).forEach(onSignal);
		},
		ask,
		release() {
			const stop = () => {
				for (const name of names) {
					process.off(name, receive);
				}
			};
			const echoesLeftMs = last + echoMs - performance.now();
			take = () => {};
			if (echoesLeftMs > 0) {
				setTimeout(stop, echoesLeftMs).unref();
			} else {
				stop();
			}
		},
	};
}
