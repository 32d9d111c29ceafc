import type { CallContext } from "../rpc/handler.js";
import type { Reader, SqlValue } from "./db/database.js";

/** Reads rows that are sent in a stream, each time in the turn of its caller. */
export function readerInTurn(db: Reader, { inTurn }: Pick<CallContext, "inTurn">): Reader {
	return {
		all: <Row>(sql: string, ...parameters: SqlValue[]) => inTurn(() => db.all<Row>(sql, ...parameters)),
		get: <Row>(sql: string, ...parameters: SqlValue[]) => inTurn(() => db.get<Row>(sql, ...parameters)),
	};
}

/** Reads pieces that are sent in a stream, each in the turn of its caller. */
export async function* piecesInTurn<T>(
	pieces: AsyncIterable<T>,
	{ inTurn }: Pick<CallContext, "inTurn">,
): AsyncGenerator<T> {
	const reading = pieces[Symbol.asyncIterator]();
	try {
		for (let next = await inTurn(() => reading.next()); !next.done; next = await inTurn(() => reading.next())) {
			yield next.value;
		}
	} finally {
		await reading.return?.();
	}
}
