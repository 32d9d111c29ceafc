import { forgetAuditEntries } from "./audit-log.js";
import type { Database } from "./database.js";
import { forgetTokens } from "./tokens.js";

const dayMs = 24 * 60 * 60 * 1000;

/** For how long the first answer to a request is kept, in milliseconds. A client repeats a call for minutes at most. */
export const answersKeptMs = 7 * dayMs;

/** For how long an expired token and a line of the audit log are kept, in milliseconds. */
const tokensKeptMs = 30 * dayMs;
const auditKeptMs = 2 * 365 * dayMs;

/** Forgets the first answers of requests that nobody repeats any more, and who came in long ago. */
export async function forgetOldAnswers(db: Database): Promise<void> {
	await db.write(async (tx) => {
		await tx.run("DELETE FROM request_ids WHERE time < ?", tx.now - answersKeptMs);
		await tx.run("DELETE FROM report_clients WHERE time < ?", tx.now - answersKeptMs);
		await tx.run("DELETE FROM log_senders WHERE time < ?", tx.now - answersKeptMs);
		await forgetTokens(tx, tx.now - tokensKeptMs);
		await forgetAuditEntries(tx, tx.now - auditKeptMs);
	});
}

/** Does `forgetOldAnswers` now and once a day, and tells what goes wrong. Returns the function that ends it. */
export function keepAnswersFew(db: Database, onError: (error: unknown) => void): () => Promise<void> {
	let latest = forgetOldAnswers(db).catch(onError);
	const timer = setInterval(() => {
		latest = forgetOldAnswers(db).catch(onError);
	}, dayMs);
	timer.unref();
	return () => {
		clearInterval(timer);
		return latest;
	};
}
