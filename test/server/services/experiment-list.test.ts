import assert from "node:assert/strict";
import { before, describe, it } from "node:test";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import {
	type Experiment,
	ExperimentState,
	ExperimentSortBy as SortBy,
} from "../../../src/gen/millrace/v1/experiment_pb.js";
import {
	ExperimentService,
	type ListExperimentsRequestSchema,
} from "../../../src/gen/millrace/v1/experiment_service_pb.js";
import { OrderBy } from "../../../src/gen/millrace/v1/list_pb.js";
import { TrialRunState } from "../../../src/gen/millrace/v1/trial_pb.js";
import { TrialService } from "../../../src/gen/millrace/v1/trial_service_pb.js";
import { errorWith } from "../../support/error-with.js";
import { startTestServer } from "../../support/start-test-server.js";

const server = await startTestServer();
const experiments = server.client(ExperimentService);
const trials = server.client(TrialService);

/** What each trial of an experiment does: how far it gets, and what becomes of it. */
type Fate = readonly [progress: number, end: "COMPLETED" | "FAILED" | "KILLED" | "PAUSED" | "open"];

async function createExperiment(config: Record<string, string | string[]>, fates: readonly Fate[]): Promise<number> {
	const { experiment } = await experiments.createExperiment({ config });
	const experimentId = experiment?.id ?? 0;
	for (const [progress, end] of fates) {
		const { trial } = await trials.createTrial({ experimentId, maxRestarts: 0 });
		const trialId = trial?.id ?? 0;
		const { trialRun } = await trials.startTrialRun({ trialId });
		const run = { trialId, trialRunId: trialRun?.trialRunId ?? 0 };
		await trials.reportTrialProgress({ ...run, progress });
		if (end === "PAUSED") {
			await trials.pauseTrial({ trialId });
			await trials.endTrialRun({ ...run, state: TrialRunState.FAILED });
		} else if (end !== "open") {
			await trials.endTrialRun({ ...run, state: TrialRunState[end] });
		}
	}
	return experimentId;
}

type Request = MessageInitShape<typeof ListExperimentsRequestSchema>;

/** Lists all pages of two experiments each. */
async function listPages(request: Request): Promise<Experiment[]> {
	const found: Experiment[] = [];
	let pageToken = "";
	do {
		const page = await experiments.listExperiments({ ...request, pageSize: 2, pageToken });
		assert.ok(page.experiments.length <= 2);
		found.push(...page.experiments);
		pageToken = page.nextPageToken;
	} while (pageToken !== "");
	return found;
}

const idsOf = (found: readonly Experiment[]) => found.map(({ id }) => id);

describe("ExperimentService.ListExperiments", { timeout: 120_000 }, () => {
	before(async () => {
		await createExperiment({ name: "digits", description: "b", labels: ["night", "a,b"] }, []);
		await createExperiment({ name: "letters", description: "a" }, [[0.5, "open"]]);
		await createExperiment({ name: "digits", labels: ["night"] }, [
			[0.5, "COMPLETED"],
			[0.25, "FAILED"],
		]);
		await createExperiment({ name: "Äpfel 100%", labels: ["a", "b"] }, [[0.5, "PAUSED"]]);
		await createExperiment({ name: "10_0" }, [[1, "COMPLETED"]]);
		await createExperiment({ name: "1030", description: "B*" }, [
			[0, "KILLED"],
			[0.5, "COMPLETED"],
		]);
		await createExperiment({ name: "last" }, [[0.5, "open"]]);
		await experiments.archiveExperiment({ experimentId: 5 });
	});

	it("shows what follows from the trials", async () => {
		const found = await listPages({ sortBy: SortBy.ID });
		assert.deepEqual(
			found.map(({ state, progress, trialCount }) => [ExperimentState[state], progress, trialCount]),
			[
				["ACTIVE", 0, 0],
				["ACTIVE", 0.5, 1],
				["ERROR", 0.625, 2],
				["PAUSED", 0.5, 1],
				["COMPLETED", 1, 1],
				["CANCELED", 0.5, 2],
				["ACTIVE", 0.5, 1],
			],
		);
		assert.deepEqual(
			found.map(({ endTime }) => endTime !== undefined),
			[false, false, true, false, true, true, false],
		);
		assert.ok(found.every(({ username, projectId }) => username === "determined" && projectId === 1));
	});

	const never = Number.MAX_SAFE_INTEGER;
	const keys: readonly [SortBy, (experiment: Experiment) => string | number][] = [
		[SortBy.ID, ({ id }) => id],
		[SortBy.NAME, ({ name }) => name],
		[SortBy.DESCRIPTION, ({ description }) => description],
		[SortBy.START_TIME, ({ createTime }) => (createTime ? timestampMs(createTime) : 0)],
		[SortBy.END_TIME, ({ endTime }) => (endTime ? timestampMs(endTime) : never)],
		[SortBy.STATE, ({ state }) => state],
		[SortBy.NUM_TRIALS, ({ trialCount }) => trialCount],
		[SortBy.PROGRESS, ({ progress }) => progress],
		[SortBy.USER, ({ username }) => username],
	];

	it("has a key for each sort that there is", () => {
		const known = Object.values(SortBy).filter((value) => typeof value === "number" && value > 0);
		assert.deepEqual(
			keys.map(([sortBy]) => sortBy),
			known,
		);
	});

	for (const [sortBy, key] of keys) {
		for (const orderBy of [OrderBy.UNSPECIFIED, OrderBy.ASC, OrderBy.DESC]) {
			it(`sorts by ${SortBy[sortBy]}, ${OrderBy[orderBy]}, over several pages`, async () => {
				const { experiments: all } = await experiments.listExperiments({});
				const sign = orderBy === OrderBy.DESC ? -1 : 1;
				const compare = (a: Experiment, b: Experiment) =>
					key(a) === key(b) ? a.id - b.id : Buffer.compare(sortable(key(a)), sortable(key(b)));
				const wanted = all.toSorted((a, b) => sign * compare(a, b));
				assert.deepEqual(idsOf(await listPages({ sortBy, orderBy })), idsOf(wanted));
			});
		}
	}

	it("lists the newest first unless it is told otherwise", async () => {
		assert.deepEqual(idsOf(await listPages({})), [7, 6, 5, 4, 3, 2, 1]);
		assert.deepEqual(idsOf(await listPages({ orderBy: OrderBy.ASC })), [1, 2, 3, 4, 5, 6, 7]);
	});

	const filters: readonly [what: string, Request, ids: number[]][] = [
		["by ids", { experimentIds: [6, 2, 99, 2] }, [2, 6]],
		["by a label", { labels: ["night"] }, [1, 3]],
		["by a label with a comma (F.38)", { labels: ["a,b"] }, [1]],
		["by all of several labels", { labels: ["a", "b"] }, [4]],
		["by users", { usernames: ["determined", "nobody"] }, [1, 2, 3, 4, 5, 6, 7]],
		["by a user who has none", { usernames: ["nobody"] }, []],
		["by states", { states: [ExperimentState.PAUSED, ExperimentState.ERROR] }, [3, 4]],
		["by a part of the name, in any case", { name: "DIGIT" }, [1, 3]],
		["by letters beyond ASCII", { name: "äpfel" }, [4]],
		["by a name with a wildcard of SQL (F.40)", { name: "0%" }, [4]],
		["by a name with the other wildcard (F.40)", { name: "10_0" }, [5]],
		["by a description", { description: "B" }, [1, 6]],
		["by a description with a wildcard (F.40)", { description: "b*" }, [6]],
		["by archived", { archived: true }, [5]],
		["by not archived", { archived: false }, [1, 2, 3, 4, 6, 7]],
		["by the project that there is", { projectId: 1 }, [1, 2, 3, 4, 5, 6, 7]],
		["by one that there is not", { projectId: 2 }, []],
		["by several at once", { labels: ["night"], states: [ExperimentState.ERROR], name: "digits" }, [3]],
	];
	for (const [what, request, ids] of filters) {
		it(`filters ${what}, whatever the sort`, async () => {
			for (const [sortBy] of keys) {
				const found = idsOf(await listPages({ ...request, sortBy }));
				assert.deepEqual(found.toSorted(), ids, SortBy[sortBy]);
			}
		});
	}

	it("refuses a token of another list, and what there is not", async () => {
		const { nextPageToken } = await experiments.listExperiments({ pageSize: 1 });
		for (const other of [{ sortBy: SortBy.NAME }, { name: "a" }, { labels: ["a"] }, { orderBy: OrderBy.ASC }]) {
			await assert.rejects(
				experiments.listExperiments({ ...other, pageToken: nextPageToken }),
				errorWith("invalid_argument", /page_token .* is not one of this list/),
			);
		}
		await assert.rejects(
			experiments.listExperiments({ sortBy: Number(99) }),
			errorWith("invalid_argument", /sort_by is 99/),
		);
		await assert.rejects(
			experiments.listExperiments({ orderBy: Number(9) }),
			errorWith("invalid_argument", /order_by is 9/),
		);
		await assert.rejects(
			experiments.listExperiments({ states: [1, Number(77)] }),
			errorWith("invalid_argument", /states\[1\] is 77/),
		);
	});
});

/** Bytes in the order of the values, as SQLite sorts texts by their bytes. */
function sortable(value: string | number): Buffer {
	if (typeof value === "string") {
		return Buffer.from(value);
	}
	const bytes = Buffer.alloc(8);
	bytes.writeDoubleBE(value);
	return bytes;
}
