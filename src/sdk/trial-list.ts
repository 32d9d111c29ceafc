import type { MessageInitShape } from "@bufbuild/protobuf";
import { OrderBy as Order } from "../gen/millrace/v1/list_pb.js";
import { TrialSortBy as SortBy, TrialState as State } from "../gen/millrace/v1/trial_pb.js";
import type { ListTrialsRequestSchema } from "../gen/millrace/v1/trial_service_pb.js";
import { assertNumber } from "./assert-number.js";
import { assertKnownOptions } from "./assert-options.js";
import { checkedStrings } from "./assert-string.js";
import { type AsyncList, pagedList } from "./async-list.js";
import { enumOption, type OrderBy } from "./enum-option.js";
import type { Session } from "./session.js";
import { Trial, type TrialState } from "./trial.js";

/**
 * What the trials of an experiment are sorted by. Python: TrialSortBy
 *
 * - `"END_TIME"`: those that have not ended come last in ascending order.
 * - `"STATE"`: ACTIVE, PAUSED, COMPLETED, CANCELED, ERROR.
 * - `"BATCHES_PROCESSED"`: the most steps completed that a trial reported or committed.
 * - `"DURATION"`: from the trial's creation to its end, or to now.
 * - `"CHECKPOINT_SIZE"`: the bytes of its checkpoints that are not deleted.
 * - `"BEST_VALIDATION_METRIC"`, `"LATEST_VALIDATION_METRIC"`: of the metric that the configuration names as
 *   `searcher.metric`. NaN is the largest value, and never the best; trials without a value come last.
 */
export type TrialSortBy =
	| "ID"
	| "START_TIME"
	| "END_TIME"
	| "STATE"
	| "BATCHES_PROCESSED"
	| "DURATION"
	| "RESTARTS"
	| "CHECKPOINT_SIZE"
	| "BEST_VALIDATION_METRIC"
	| "LATEST_VALIDATION_METRIC";

/** Options of `experiment.listTrials`: how the trials are sorted, and what they are filtered by. */
export interface ExperimentTrialsOptions {
	/** Default: "ID", the newest first. Trials that are equal in it are sorted by id, in the same direction. */
	readonly sortBy?: TrialSortBy;
	/** Default: "ASC", but "DESC" without `sortBy`. */
	readonly orderBy?: OrderBy;
	/** How many trials are asked for at once, from 1 to 1,000. Default: 200. All are listed in any case. */
	readonly limit?: number;
	/** Only trials in one of these states; none for any. */
	readonly states?: readonly TrialState[];
}

/** Options of `client.listTrials`. */
export interface ListTrialsOptions extends ExperimentTrialsOptions {
	/** Only trials of this experiment. Without it, trials can be sorted by id only. Default: all. */
	readonly experimentId?: number;
}

/**
 * Lists trials, those of one experiment or those that the options name. Reading throws `invalid_argument` for an option that
 * is not of its type.
 */
export function trialList(session: Session, options: ListTrialsOptions, ofExperiment?: number): AsyncList<Trial> {
	return pagedList(async ({ pageToken, pageSize }) => {
		const request = requestOf(options, ofExperiment);
		const { trials } = await session.connection();
		const answer = await trials.listTrials({ pageSize, ...request, pageToken });
		return { items: answer.trials.map((message) => new Trial(session, message)), nextPageToken: answer.nextPageToken };
	});
}

function requestOf(
	options: ListTrialsOptions,
	ofExperiment: number | undefined,
): MessageInitShape<typeof ListTrialsRequestSchema> {
	const ofAny = ofExperiment === undefined ? (["experimentId"] as const) : [];
	assertKnownOptions(options, "listTrials", ["sortBy", "orderBy", "limit", "states", ...ofAny]);
	const { limit, states = [] } = options;
	const experimentId = ofExperiment ?? options.experimentId;
	if (experimentId !== undefined) {
		assertNumber(experimentId, "experimentId");
	}
	if (limit !== undefined) {
		assertNumber(limit, "limit");
	}
	return {
		sortBy: enumOption(SortBy, options.sortBy, "sortBy"),
		orderBy: enumOption(Order, options.orderBy, "orderBy"),
		states: checkedStrings(states, "states").map((state, i) => enumOption(State, state, `states[${i}]`)),
		...(experimentId !== undefined && { experimentId }),
		...(limit !== undefined && { pageSize: limit }),
	};
}
