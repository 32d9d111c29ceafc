import {
	type ClientHttp2Session,
	type ClientHttp2Stream,
	connect,
	constants,
	type IncomingHttpHeaders,
} from "node:http2";
import { after } from "node:test";

/** An HTTP/2 connection without a client of gRPC, which would send no half requests. */
export function rawSession(address: string): ClientHttp2Session {
	// By default a client takes no answer while it has 10 MB to send.
	const session = connect(`http://${address}`, { maxSessionMemory: 1_000 });
	session.on("error", () => {});
	after(() => session.destroy());
	return session;
}

/** A call on such a connection. */
export interface RawCall {
	readonly stream: ClientHttp2Stream;
	/** Resolves to how the server ended it: by a status of gRPC, or by an error of HTTP/2 alone. */
	readonly ended: Promise<{ readonly code: number | undefined; readonly message: string; readonly rstCode: number }>;
}

/** Begins a call; what is sent, and read, is the caller's to say. */
export function rawCall(session: ClientHttp2Session, path: string, headers: Record<string, string> = {}): RawCall {
	const stream = session.request({
		":method": "POST",
		":path": path,
		"content-type": "application/grpc",
		te: "trailers",
		...headers,
	});
	stream.on("error", () => {});
	const ended = new Promise<Awaited<RawCall["ended"]>>((resolve) => {
		const look = (headers: IncomingHttpHeaders) => {
			const code = headers["grpc-status"];
			if (code !== undefined) {
				const message = decodeURI(String(headers["grpc-message"] ?? ""));
				resolve({ code: Number(code), message, rstCode: constants.NGHTTP2_NO_ERROR });
			}
		};
		// A stream of Node's that has not sent all is not closed by the answer.
		stream.on("response", look);
		stream.on("trailers", look);
		stream.once("close", () => resolve({ code: undefined, message: "", rstCode: stream.rstCode }));
	});
	return { stream, ended };
}

/** Returns what precedes a message of so many bytes. */
export function messageHead(bytes: number, isCompressed = false): Buffer {
	const head = Buffer.alloc(5);
	head.writeUInt8(isCompressed ? 1 : 0);
	head.writeUInt32BE(bytes, 1);
	return head;
}
