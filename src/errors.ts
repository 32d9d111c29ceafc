/**
 * Why an operation failed: gRPC's codes in snake_case. They say what the caller can do next:
 * fix the call (`invalid_argument`), create it first (`not_found`), change state first
 * (`failed_precondition`), reread and retry (`aborted`), just retry (`unavailable`). docs/ERRORS.md has
 * all of them.
 */
export type ErrorCode =
	| "cancelled"
	| "unknown"
	| "invalid_argument"
	| "deadline_exceeded"
	| "not_found"
	| "already_exists"
	| "permission_denied"
	| "resource_exhausted"
	| "failed_precondition"
	| "aborted"
	| "out_of_range"
	| "unimplemented"
	| "internal"
	| "unavailable"
	| "data_loss"
	| "unauthenticated";

/**
 * The one class of everything that Millrace throws on purpose, on both sides of the wire: an error
 * thrown in a service arrives in the SDK with the same code and message.
 */
export class MillraceError extends Error {
	override readonly name = "MillraceError";
	/** Why it failed. */
	readonly code: ErrorCode;

	constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
		super(message, options);
		this.code = code;
	}
}

/** Tells whether `value` is a MillraceError, also one of another copy of this package. */
export function isMillraceError(value: unknown, code?: ErrorCode): value is MillraceError {
	return (
		value instanceof Error &&
		value.name === "MillraceError" &&
		"code" in value &&
		(code === undefined || value.code === code)
	);
}

/** Returns the message of anything that was thrown. */
export function messageOf(thrown: unknown): string {
	return thrown instanceof Error ? thrown.message : String(thrown);
}
