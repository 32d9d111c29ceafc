import { connectivityState } from "@grpc/grpc-js";
import { MillraceError } from "../errors.js";
import type { Channel } from "./channel.js";
import { fromStatus } from "./status.js";

/** What ends a call from this side, and why it did. */
export interface CallGuard {
	/** Returns why the call failed: this side's reason if it ended the call, else what grpc-js says. */
	failure(error: unknown): MillraceError;
	/** Lets go of the call, which has ended. */
	release(): void;
}

/**
 * Cancels a call when its signal is aborted, when its channel is closed, or when there is no connection
 * after `connectMs`: grpc-js itself would wait for ever for an address that accepts and says nothing.
 */
export function guardCall(
	call: { cancel(): void },
	channel: Channel,
	options: { readonly signal: AbortSignal | undefined; readonly connectMs: number },
): CallGuard {
	const { signal, connectMs } = options;
	// Made where the call fails: the stack of a timer or of a listener leads nowhere.
	let reason: (() => MillraceError) | undefined;
	const stop = (why: () => MillraceError) => {
		reason ??= why;
		call.cancel();
	};
	const onAbort = () =>
		stop(() => new MillraceError("cancelled", "cancelled by the caller", { cause: signal?.reason }));
	const onClose = () => stop(() => channel.closedError());
	const isConnected = () => channel.grpc.getChannel().getConnectivityState(false) === connectivityState.READY;
	const onTimeout = () => {
		if (!isConnected()) {
			stop(() => new MillraceError("unavailable", `no connection to ${channel.address} after ${connectMs} ms`));
		}
	};
	signal?.addEventListener("abort", onAbort, { once: true });
	channel.closeListeners.add(onClose);
	const timer = isConnected() ? undefined : setTimeout(onTimeout, connectMs);
	if (signal?.aborted) {
		onAbort();
	}
	return {
		failure: (error) => reason?.() ?? fromStatus(error),
		release() {
			signal?.removeEventListener("abort", onAbort);
			channel.closeListeners.delete(onClose);
			clearTimeout(timer);
		},
	};
}
