import { MillraceError } from "../../errors.js";
import type { Member } from "../../gen/millrace/v1/trial_pb.js";
import type { Reader, Transaction } from "./database.js";
import { assertMember } from "./members.js";
import { archiveDroppedParts } from "./metric-archive.js";

/**
 * Starts the next part of a worker, and archives what its earlier parts have reported and not committed. A part
 * that has started stays as it is.
 *
 * Throws `failed_precondition` if the worker may not write, or the part is not the next one.
 */
export async function startPart(tx: Transaction, member: Member, part: number): Promise<void> {
	const current = await partOf(tx, member);
	if (part === current) {
		return;
	}
	await assertMember(tx, member);
	if (part !== (current ?? 0) + 1) {
		throw new MillraceError(
			"failed_precondition",
			`part is ${part}, but the worker is at part ${current ?? 0}; start the parts one after the other`,
		);
	}
	await tx.run(
		"UPDATE members SET part = ? WHERE trial_id = ? AND trial_run_id = ? AND rank = ? AND member_uuid = ?",
		part,
		member.trialId,
		member.trialRunId,
		member.rank,
		member.memberUuid,
	);
	await archiveDroppedParts(tx, member);
}

/** Returns the part that a worker is at, or undefined if there is no such worker. */
export async function partOf(db: Reader, member: Member): Promise<number | undefined> {
	const row = await db.get<{ part: number }>(
		"SELECT part FROM members WHERE trial_id = ? AND trial_run_id = ? AND rank = ? AND member_uuid = ?",
		member.trialId,
		member.trialRunId,
		member.rank,
		member.memberUuid,
	);
	return row?.part;
}

/** Says what is wrong with a write of `part` while the worker is at another one; undefined if it is at that. */
export function wrongPartText(part: number, current: number): string | undefined {
	if (part === current) {
		return undefined;
	}
	return part < current
		? `part ${part} is closed; the worker is at part ${current}`
		: `part ${part} has not started; the worker is at part ${current}, and StartPart starts the next`;
}
