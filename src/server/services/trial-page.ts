import { MillraceError } from "../../errors.js";
import { OrderBy } from "../../gen/millrace/v1/list_pb.js";
import { TrialSortBy, TrialState } from "../../gen/millrace/v1/trial_pb.js";
import type { ListTrialsRequest } from "../../gen/millrace/v1/trial_service_pb.js";
import type { Reader } from "../db/database.js";
import { findSearcherMetric } from "../db/searcher-metric.js";
import { type TrialFilter, type TrialSort, trialSort } from "../db/trial-list.js";
import { isDescending, parseSortedPage, type SortedPage } from "../page-token.js";
import { assertEnum, assertNotNegative } from "../request-checks.js";

/** A page of trials that was asked for. */
export interface TrialPage {
	readonly page: SortedPage & { readonly sort: TrialSort };
	readonly filter: TrialFilter;
}

/**
 * Reads which trials a request asks for. A list by duration is of the time of its first page, which its tokens carry: what
 * runs on grows meanwhile, and would be on two pages.
 *
 * Throws `invalid_argument` for a sort, a direction or a state that there is not, a sort that needs an experiment
 * without one, and a page that there cannot be.
 */
export async function parseTrialPage(db: Reader, request: ListTrialsRequest): Promise<TrialPage> {
	const { experimentId, states, sortBy } = request;
	assertNotNegative("experiment_id", experimentId);
	assertEnum("sort_by", TrialSortBy, sortBy);
	for (const [i, state] of states.entries()) {
		assertEnum(`states[${i}]`, TrialState, state);
	}
	if (sortBy > TrialSortBy.ID && experimentId === 0) {
		throw new MillraceError(
			"invalid_argument",
			`sort_by is ${TrialSortBy[sortBy]} without an experiment_id; name the experiment, or sort by the id`,
		);
	}
	const isNewestFirst = sortBy === TrialSortBy.UNSPECIFIED;
	const descending = isDescending(request.orderBy, isNewestFirst ? OrderBy.DESC : OrderBy.ASC);
	const metric = await findSearcherMetric(db, experimentId);
	const [, pageToken = request.pageToken, time] =
		sortBy === TrialSortBy.DURATION ? (/^(.+)@(\d{1,15})$/s.exec(request.pageToken) ?? []) : [];
	const now = Number(time ?? Date.now());
	const sort = trialSort(sortBy, descending, now, metric);
	const page = parseSortedPage({ ...request, pageToken }, sort);
	return {
		page: {
			...page,
			sort,
			take(...parameters) {
				const taken = page.take(...parameters);
				const isLast = taken.nextPageToken === "" || sortBy !== TrialSortBy.DURATION;
				return isLast ? taken : { ...taken, nextPageToken: `${taken.nextPageToken}@${now}` };
			},
		},
		filter: { experimentId, states },
	};
}
