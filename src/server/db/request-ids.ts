import { type DescMessage, fromBinary, type MessageShape, toBinary } from "@bufbuild/protobuf";
import { MillraceError } from "../../errors.js";
import type { Reader, Transaction } from "./database.js";

/** Returns the answer that a request with this id has got, if it was one with such answers; undefined for an empty id. */
export async function findAnswer<S extends DescMessage>(
	db: Reader,
	requestId: string,
	schema: S,
): Promise<MessageShape<S> | undefined> {
	const known = await db.get<{ response: Buffer }>(
		"SELECT response FROM request_ids WHERE request_id = ? AND method = ?",
		requestId,
		schema.typeName,
	);
	return known && fromBinary(schema, known.response);
}

/**
 * Answers a request that carries a request id: a repeated one with its first answer, a new one, or one
 * without an id, by `make`.
 *
 * Throws `invalid_argument` if the id belongs to a request of another method.
 */
export async function once<S extends DescMessage>(
	tx: Transaction,
	requestId: string,
	schema: S,
	make: () => Promise<MessageShape<S>>,
): Promise<MessageShape<S>> {
	if (requestId === "") {
		return make();
	}
	const known = await tx.get<{ method: string; response: Buffer }>(
		"SELECT method, response FROM request_ids WHERE request_id = ?",
		requestId,
	);
	if (known !== undefined) {
		if (known.method !== schema.typeName) {
			throw new MillraceError(
				"invalid_argument",
				`request_id ${JSON.stringify(requestId)} was used for another method; take a new one for each request`,
			);
		}
		return fromBinary(schema, known.response);
	}
	const response = await make();
	await tx.run(
		"INSERT INTO request_ids (request_id, method, response, time) VALUES (?, ?, ?, ?)",
		requestId,
		schema.typeName,
		Buffer.from(toBinary(schema, response)),
		tx.now,
	);
	return response;
}
