import type { IncomingMessage, ServerResponse } from "node:http";
import { base64Decode } from "@bufbuild/protobuf/wire";

/** How much of a body is kept after it was read, in bytes. */
const keptBytes = 1024 * 1024;

/** The body of a request, which is read when somebody asks for it, and not before. */
export class RequestBody implements AsyncIterable<Uint8Array> {
	readonly #request: IncomingMessage;
	readonly #response: ServerResponse;
	#kept: Uint8Array[] | undefined = [];
	#size = 0;
	#isWhole = false;

	constructor(request: IncomingMessage, response: ServerResponse) {
		this.#request = request;
		this.#response = response;
	}

	async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
		if (this.#request.headers.expect !== undefined) {
			this.#response.writeContinue();
		}
		// An iterator that destroys the request when it ends early would take away the connection, and with it the answer.
		for await (const chunk of this.#request.iterator({ destroyOnReturn: false })) {
			this.#size += chunk.length;
			if (this.#size > keptBytes) {
				this.#kept = undefined;
			}
			this.#kept?.push(chunk);
			yield chunk;
		}
		this.#isWhole = true;
	}

	/**
	 * Returns the JSON of the message that was sent, after the body was read, or that a GET has in its query. Returns
	 * undefined where it is compressed, not whole, or larger than a MiB.
	 */
	message(): Uint8Array | undefined {
		const { method, url = "", headers } = this.#request;
		if (method === "GET") {
			const query = new URL(url, "http://localhost").searchParams;
			const text = query.get("message") ?? "";
			const isPlain = (query.get("compression") ?? "identity") === "identity";
			return isPlain ? (query.get("base64") === "1" ? base64Decode(text) : Buffer.from(text)) : undefined;
		}
		if (this.#kept === undefined || (headers["content-encoding"] ?? "identity") !== "identity") {
			return undefined;
		}
		const bytes = Buffer.concat(this.#kept);
		if (!/connect\+/i.test(headers["content-type"] ?? "")) {
			return this.#isWhole ? bytes : undefined;
		}
		// The library may have stopped reading behind the envelope.
		const isOnePlain = bytes.length >= 5 && bytes[0] === 0 && bytes.readUInt32BE(1) === bytes.length - 5;
		return isOnePlain ? bytes.subarray(5) : undefined;
	}
}
