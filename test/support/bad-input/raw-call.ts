import type { DescMethod } from "@bufbuild/protobuf";
import { type Client, type ClientDuplexStream, Metadata, type StatusObject, status } from "@grpc/grpc-js";
import { methodPath } from "../../../src/rpc/definition.js";

/** How a call ended. */
export interface CallEnd {
	/** gRPC's name of the status: "OK", "INVALID_ARGUMENT", … */
	readonly code: string;
	readonly details: string;
}

/** How long a call may take. Some wait for the owner of a run, and the machine may be busy. */
const limitMs = 30_000;

const identity = (bytes: Buffer) => bytes;

/**
 * Sends bytes to a method and waits for the end of the call; for a stream in both directions, sends these messages and
 * says that there are no more. A stream that follows what goes on has no end; one that has answered nothing bad for
 * `followMs` is taken for good, where that is given.
 */
export function rawCall(
	grpc: Client,
	method: DescMethod,
	messages: readonly Uint8Array[],
	followMs?: number,
	metadata = new Metadata(),
): Promise<CallEnd> {
	const path = methodPath(method);
	const options = { deadline: Date.now() + limitMs };
	const [message = new Uint8Array()] = messages;
	return new Promise((resolve) => {
		const end = ({ code, details }: Pick<StatusObject, "code" | "details">) =>
			resolve({ code: status[code] ?? String(code), details });
		if (method.methodKind === "unary") {
			grpc.makeUnaryRequest(path, identity, identity, Buffer.from(message), metadata, options, (error) =>
				end(error ?? { code: status.OK, details: "" }),
			);
			return;
		}
		const stream =
			method.methodKind === "server_streaming"
				? grpc.makeServerStreamRequest(path, identity, identity, Buffer.from(message), metadata, options)
				: grpc.makeBidiStreamRequest(path, identity, identity, metadata, options);
		stream.on("data", () => {});
		// The status says all of it.
		stream.on("error", () => {});
		stream.on("status", end);
		if (method.methodKind === "bidi_streaming") {
			const duplex = stream as ClientDuplexStream<Buffer, Buffer>;
			for (const each of messages) {
				duplex.write(Buffer.from(each));
			}
			duplex.end();
		}
		if (followMs !== undefined) {
			setTimeout(() => {
				end({ code: status.OK, details: "" });
				stream.cancel();
			}, followMs);
		}
	});
}
