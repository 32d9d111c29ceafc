import { createHash } from "node:crypto";
import { type DescMessage, type MessageShape, toBinary } from "@bufbuild/protobuf";

/** For how long the answer with a secret is remembered, in milliseconds. A client repeats a call for five at most. */
const rememberMs = 10 * 60 * 1000;

/** Remembers the answers that hold a secret, in memory only: what is stored holds none. */
export class FirstSecrets {
	readonly #answers = new Map<string, { readonly time: number; readonly answer: Promise<unknown> }>();

	/**
	 * Answers a request by `make`, but one that is the same as an earlier one, request id and all, as that was answered.
	 *
	 * @param who Tells callers apart, who may come upon the same request.
	 */
	once<S extends DescMessage, T>(
		schema: S,
		request: MessageShape<S> & { requestId: string },
		who: string,
		make: () => Promise<T>,
	): Promise<T> {
		const now = Date.now();
		for (const [key, { time }] of this.#answers) {
			if (now - time < rememberMs) {
				break;
			}
			this.#answers.delete(key);
		}
		if (request.requestId === "") {
			return make();
		}
		// A digest, as the request may hold a password.
		const key = createHash("sha256")
			.update(`${schema.typeName} ${who} `)
			.update(toBinary(schema, request))
			.digest("base64");
		const known = this.#answers.get(key);
		if (known !== undefined) {
			return known.answer as Promise<T>;
		}
		const answer = make();
		this.#answers.set(key, { time: now, answer });
		// What failed may be tried again.
		answer.catch(() => this.#answers.delete(key));
		return answer;
	}
}
