import { MillraceError } from "../../errors.js";
import type { LogLevel, LogStream } from "../../gen/millrace/v1/log_pb.js";
import type { Reader, Transaction } from "./database.js";
import type { Sender } from "./sender.js";
import { getTrialRow } from "./trials.js";

/** A line that is to be stored. */
export interface NewLogLine {
	/** 0 if it is not known. */
	readonly trialRunId: number;
	/** -1 if it is not known. */
	readonly rank: number;
	readonly level: LogLevel;
	readonly stream: LogStream;
	readonly source: string;
	readonly host: string;
	/** In milliseconds since 1970; undefined for the time of arrival. */
	readonly time: number | undefined;
	readonly text: string;
}

/** One call of a sender of lines. */
export interface LogCall {
	readonly sender: Sender;
	readonly sequence: number;
	readonly trialId: number;
	readonly lines: readonly NewLogLine[];
	/** Whether the sender has no more. */
	readonly isLast: boolean;
}

/**
 * Stores the lines of a call, unless it was stored before.
 *
 * Throws `not_found` if the trial does not exist, `failed_precondition` if the sender has sent a later call already.
 */
export async function writeLogs(tx: Transaction, call: LogCall): Promise<void> {
	const { sender, sequence, trialId, lines, isLast } = call;
	const { clientId, caller } = sender;
	const before = await tx.get<{ sequence: number; caller: string }>(
		`SELECT sequence, caller FROM log_senders WHERE client_id = ? AND caller IN (?, '') ORDER BY sequence DESC LIMIT 1`,
		clientId,
		caller,
	);
	if (before !== undefined && sequence < before.sequence) {
		throw new MillraceError(
			"failed_precondition",
			`sequence is ${sequence}, but client ${clientId} has sent a later call already; ` +
				"send one call at a time, with rising numbers",
		);
	}
	if (sequence === before?.sequence) {
		return;
	}
	await getTrialRow(tx, trialId);
	const rows = lines.map(({ trialRunId, rank, level, stream, source, host, time, text }) => {
		return [trialRunId, rank, level, stream, source, host, time ?? tx.now, text];
	});
	await tx.run(
		`INSERT INTO trial_logs (trial_id, trial_run_id, rank, level, stream, source, host, time, text)
		SELECT ?, value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7
		FROM json_each(?)`,
		trialId,
		JSON.stringify(rows),
	);
	if (before?.caller === "") {
		// Nobody is to wait for its last lines, which come from the caller.
		await tx.run("UPDATE log_senders SET done = 1 WHERE client_id = ? AND caller = ''", clientId);
	}
	await tx.run(
		`INSERT INTO log_senders (client_id, caller, trial_id, sequence, done, time) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT DO UPDATE
		SET trial_id = excluded.trial_id, sequence = excluded.sequence, done = excluded.done, time = excluded.time`,
		clientId,
		caller,
		trialId,
		sequence,
		isLast ? 1 : 0,
		tx.now,
	);
}

/** Tells whether a trial has a sender of lines that has not said that it has no more. */
export async function hasOpenSender(db: Reader, trialId: number): Promise<boolean> {
	return (await db.get("SELECT 1 FROM log_senders WHERE trial_id = ? AND done = 0 LIMIT 1", trialId)) !== undefined;
}

/** Returns the id of a trial's newest line; 0 if it has none. */
export async function newestLine(db: Reader, trialId: number): Promise<number> {
	const row = await db.get<{ id: number | null }>("SELECT max(id) AS id FROM trial_logs WHERE trial_id = ?", trialId);
	return row?.id ?? 0;
}
