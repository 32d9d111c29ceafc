import { timestampDate } from "@bufbuild/protobuf/wkt";
import { type AsyncList, pagedList } from "./async-list.js";
import type { Session } from "./session.js";

/** A dead letter: a record that failed, and that the trial skipped. */
export interface TrialError {
	/** The number of the record in the data set, from 0. */
	readonly record: number;
	/** The rank of the worker that tried it. */
	readonly rank: number;
	/** The run in which it failed. */
	readonly trialRunId: number;
	/** The message of the error. */
	readonly error: string;
	/** The stack of the error; empty if it has none. */
	readonly stack: string;
	/** When it was recorded. */
	readonly time: Date;
}

/** Lists the records of a trial that failed and were skipped, as `trial.listErrors` does. */
export function errorList(session: Session, trialId: number): AsyncList<TrialError> {
	return pagedList(async (page) => {
		const { trials } = await session.connection();
		const { errors, nextPageToken } = await trials.listTrialErrors({ ...page, trialId });
		const items = errors.map(({ record, rank, trialRunId, error, stack, time }) => ({
			record: Number(record),
			...{ rank, trialRunId, error, stack },
			time: time ? timestampDate(time) : new Date(0),
		}));
		return { items, nextPageToken };
	});
}
