import { MillraceError } from "../errors.js";

/** The trailer by which gRPC tells a caller when to make a call again, in milliseconds. */
export const pushbackTrailer = "grpc-retry-pushback-ms";

const pushbacks = new WeakMap<Error, number>();

/** Makes the error of a call that is refused before anything of it was done: it may be made again, whatever it does. */
export function refusedForNow(message: string, waitMs: number): MillraceError {
	// Thousands may be refused in a second, and a stack would cost more than all the rest of it.
	const limit = Error.stackTraceLimit;
	Error.stackTraceLimit = 0;
	const error = new MillraceError("resource_exhausted", message);
	Error.stackTraceLimit = limit;
	notePushback(error, waitMs);
	return error;
}

/** Takes note that a call that failed was not begun, and may be made again after this time, in milliseconds. */
export function notePushback(error: MillraceError, waitMs: number): void {
	pushbacks.set(error, Math.max(1, Math.ceil(waitMs)));
}

/** Returns after how many milliseconds a call may be made again that was refused; undefined if it was not, or not for now. */
export function pushbackOf(error: unknown): number | undefined {
	return error instanceof Error ? pushbacks.get(error) : undefined;
}
