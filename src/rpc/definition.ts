import type { DescMessage, DescMethod, DescService, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import { MillraceError, messageOf } from "../errors.js";

/** The full name of a method, as HTTP/2 carries it: `/millrace.v1.TrialService/GetTrial`. */
export function methodPath(method: DescMethod): string {
	return `/${method.parent.typeName}/${method.name}`;
}

/** Serializes a message, or what a message can be made of. */
export function encode<S extends DescMessage>(schema: S, message: MessageInitShape<S>): Buffer {
	const bytes = toBinary(schema, create(schema, message));
	return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/**
 * Parses a message.
 *
 * Throws `invalid_argument` if the bytes are not one, naming the field where they go wrong.
 */
export function decode<S extends DescMessage>(schema: S, bytes: Uint8Array): MessageShape<S> {
	try {
		return fromBinary(schema, bytes);
	} catch (cause) {
		const place = [schema.typeName, ...malformedField(schema, bytes)].join(".");
		throw new MillraceError("invalid_argument", `malformed ${place}: ${messageOf(cause)}`, { cause });
	}
}

const ownPackage = "millrace.";

/** Returns the names on the way to the first field that cannot be parsed; none where the bytes have no field there. */
function malformedField(schema: DescMessage, bytes: Uint8Array): string[] {
	const reader = new BinaryReader(bytes);
	while (reader.pos < reader.len) {
		const start = reader.pos;
		const path: string[] = [];
		try {
			const [number, wireType] = reader.tag();
			const field = schema.fields.find((candidate) => candidate.number === number);
			path.push(...(field === undefined ? [] : [field.name]));
			const content = reader.pos;
			reader.skip(wireType, number);
			// What a known type such as Struct is made of is no field of ours.
			if (wireType === WireType.LengthDelimited && field?.message?.typeName.startsWith(ownPackage)) {
				path.push(...malformedField(field.message, new BinaryReader(bytes.subarray(content)).bytes()));
			}
			fromBinary(schema, bytes.subarray(start, reader.pos));
		} catch {
			return path;
		}
	}
	return [];
}

/**
 * Makes grpc-js's definition of a service from its descriptor. Messages stay bytes here: handlers and
 * clients parse them themselves, so that a malformed one gets our error and not grpc-js's INTERNAL.
 */
export function grpcDefinition(service: DescService) {
	const identity = (bytes: Buffer) => bytes;
	return Object.fromEntries(
		service.methods.map((method) => [
			method.localName,
			{
				path: methodPath(method),
				requestStream: method.methodKind === "client_streaming" || method.methodKind === "bidi_streaming",
				responseStream: method.methodKind === "server_streaming" || method.methodKind === "bidi_streaming",
				requestSerialize: identity,
				requestDeserialize: identity,
				responseSerialize: identity,
				responseDeserialize: identity,
			},
		]),
	);
}
