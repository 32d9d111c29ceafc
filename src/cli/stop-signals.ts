/** Signals that ask this process to stop, from the moment on that it asked for them. */
export interface StopSignals {
	/** Calls `onSignal` for each signal that has come and will come. */
	deliver(onSignal: (signal: NodeJS.Signals) => void): void;
}

/** Takes over SIGTERM, SIGINT and SIGHUP, which would end the process, and keeps them until they are delivered. */
export function onStopSignals(): StopSignals {
	const waiting: NodeJS.Signals[] = [];
	let take = (signal: NodeJS.Signals): void => {
		waiting.push(signal);
	};
	for (const name of ["SIGTERM", "SIGINT", "SIGHUP"] as const) {
		process.on(name, () => take(name));
	}
	return {
		deliver(onSignal) {
			take = onSignal;
			waiting.splice(0).forEach(onSignal);
		},
	};
}
