import { status as GrpcStatus, Metadata, type StatusObject } from "@grpc/grpc-js";
import { type ErrorCode, isMillraceError, MillraceError } from "../errors.js";
import { notePushback, pushbackOf, pushbackTrailer } from "./pushback.js";

/** The one table of codes: our code, gRPC's status, HTTP's status. */
const table: ReadonlyArray<readonly [code: ErrorCode, grpc: GrpcStatus, http: number]> = [
	["cancelled", GrpcStatus.CANCELLED, 499],
	["unknown", GrpcStatus.UNKNOWN, 500],
	["invalid_argument", GrpcStatus.INVALID_ARGUMENT, 400],
	["deadline_exceeded", GrpcStatus.DEADLINE_EXCEEDED, 504],
	["not_found", GrpcStatus.NOT_FOUND, 404],
	["already_exists", GrpcStatus.ALREADY_EXISTS, 409],
	["permission_denied", GrpcStatus.PERMISSION_DENIED, 403],
	["resource_exhausted", GrpcStatus.RESOURCE_EXHAUSTED, 429],
	["failed_precondition", GrpcStatus.FAILED_PRECONDITION, 400],
	["aborted", GrpcStatus.ABORTED, 409],
	["out_of_range", GrpcStatus.OUT_OF_RANGE, 400],
	["unimplemented", GrpcStatus.UNIMPLEMENTED, 501],
	["internal", GrpcStatus.INTERNAL, 500],
	["unavailable", GrpcStatus.UNAVAILABLE, 503],
	["data_loss", GrpcStatus.DATA_LOSS, 500],
	["unauthenticated", GrpcStatus.UNAUTHENTICATED, 401],
];

const grpcOf = new Map(table.map(([code, grpc]) => [code, grpc]));
const httpOf = new Map(table.map(([code, , http]) => [code, http]));
const codeOf = new Map(table.map(([code, grpc]) => [grpc, code]));

/** Returns gRPC's number for a code. */
export function grpcStatusOf(code: ErrorCode): GrpcStatus {
	return grpcOf.get(code) ?? GrpcStatus.UNKNOWN;
}

/** Returns HTTP's status for a code. */
export function httpStatusOf(code: ErrorCode): number {
	return httpOf.get(code) ?? 500;
}

/** Returns the code of a gRPC status number; `unknown` for a number that gRPC does not have. */
export function errorCodeOf(grpc: number): ErrorCode {
	return codeOf.get(grpc) ?? "unknown";
}

/** Receives what went wrong inside the server, with its stack. */
export type ErrorLog = (message: string, error: unknown) => void;

/**
 * Turns anything thrown in a handler into the status that is sent. What is not a MillraceError is
 * logged, and sent as "internal error".
 */
export function toStatus(
	thrown: unknown,
	method: string,
	log: ErrorLog,
): Pick<StatusObject, "code" | "details"> & Partial<Pick<StatusObject, "metadata">> {
	if (isMillraceError(thrown)) {
		const status = { code: grpcStatusOf(thrown.code), details: fitHeader(thrown.message) };
		const waitMs = pushbackOf(thrown);
		return waitMs === undefined ? status : { ...status, metadata: trailers(waitMs) };
	}
	log(`${method} failed`, thrown);
	return { code: GrpcStatus.INTERNAL, details: "internal error" };
}

function trailers(waitMs: number): Metadata {
	const metadata = new Metadata();
	metadata.set(pushbackTrailer, String(waitMs));
	return metadata;
}

/** Cuts a message that its header could not carry: the call would never end. */
function fitHeader(message: string): string {
	// Half of a surrogate pair has no encoding, and encodeURI throws.
	const text = message.replace(/\p{Surrogate}/gu, "\ufffd");
	if (encodeURI(text).length <= headerBytes) {
		return text;
	}
	let size = 0;
	let end = 0;
	for (const character of text) {
		size += encodeURI(character).length;
		if (size > headerBytes) {
			break;
		}
		end += character.length;
	}
	return `${text.slice(0, end)}… (cut)`;
}

/** The most bytes of a message when it is encoded as a header: gRPC in other languages takes 8 KiB of headers. */
const headerBytes = 7 * 1024;

/**
 * What grpc-js says, as INTERNAL or CANCELLED, of a call that came without a status to its end: the connection
 * broke, or was cut by a server that stops. Nothing else tells it apart.
 */
const lostCall = /^(Received RST_STREAM with code 0 |Call cancelled$)/;

/** Takes grpc-js's words around what it says of a connection that it could not make. */
function withoutNoise(details: string): string {
	const found =
		/^No connection established\. Last error: (?:Error: )?(.*?)\. Resolution note: /s.exec(details) ??
		/^No addresses resolved\. Resolution note: (.*)$/s.exec(details);
	const reason = found?.[1];
	return reason === undefined ? details : reason === "" || reason === "null" ? "no connection" : reason;
}

/** Errors that came with headers of the server's. */
const answers = new WeakSet<MillraceError>();

/** Tells whether an error of `fromStatus` is what the server answered, and not what befell the call on its way. */
export function isAnswer(error: MillraceError): boolean {
	return answers.has(error);
}

/** Turns what grpc-js gives a client into a MillraceError. */
export function fromStatus(error: unknown): MillraceError {
	if (isMillraceError(error)) {
		return error;
	}
	if (error instanceof Error && "code" in error && typeof error.code === "number") {
		const details = "details" in error && typeof error.details === "string" ? error.details : error.message;
		if (lostCall.test(details)) {
			return new MillraceError("unavailable", "the connection was lost before the answer came");
		}
		// grpc-js's error would add its own internals to every stack, and nothing that the status does not say.
		const failure = new MillraceError(errorCodeOf(error.code), withoutNoise(details));
		if ("metadata" in error && error.metadata instanceof Metadata && error.metadata.get("content-type").length > 0) {
			answers.add(failure);
			const waitMs = Number(error.metadata.get(pushbackTrailer)[0] ?? Number.NaN);
			// By a negative number a server says that it is of no use to call again.
			if (waitMs >= 0) {
				notePushback(failure, waitMs);
			}
		}
		return failure;
	}
	return new MillraceError("unknown", String(error), { cause: error });
}
