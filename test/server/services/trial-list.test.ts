import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { before, describe, it } from "node:test";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { CheckpointService } from "../../../src/gen/millrace/v1/checkpoint_service_pb.js";
import { ExperimentService } from "../../../src/gen/millrace/v1/experiment_service_pb.js";
import { OrderBy } from "../../../src/gen/millrace/v1/list_pb.js";
import { MetricService } from "../../../src/gen/millrace/v1/metric_service_pb.js";
import { TrialSortBy as SortBy, type Trial, TrialRunState, TrialState } from "../../../src/gen/millrace/v1/trial_pb.js";
import { type ListTrialsRequestSchema, TrialService } from "../../../src/gen/millrace/v1/trial_service_pb.js";
import { Connection } from "../../../src/server/db/database.js";
import { errorWith } from "../../support/error-with.js";
import { startTestServer } from "../../support/start-test-server.js";

const server = await startTestServer();
const experiments = server.client(ExperimentService);
const trials = server.client(TrialService);
const metrics = server.client(MetricService);

interface Fate {
	readonly end: "COMPLETED" | "FAILED" | "KILLED" | "open";
	readonly restarts?: number;
	/** Values of the metric "loss" in validation reports, in their order. */
	readonly losses?: readonly (number | string | null)[];
	readonly steps?: number;
}

async function createTrial(experimentId: number, { end, restarts = 0, losses = [], steps }: Fate): Promise<number> {
	const { trial } = await trials.createTrial({ experimentId, maxRestarts: restarts });
	const trialId = trial?.id ?? 0;
	for (let i = 0; i < restarts; i++) {
		const { trialRun } = await trials.startTrialRun({ trialId });
		await trials.endTrialRun({ trialId, trialRunId: trialRun?.trialRunId ?? 0, state: TrialRunState.FAILED });
	}
	const { trialRun } = await trials.startTrialRun({ trialId });
	const run = { trialId, trialRunId: trialRun?.trialRunId ?? 0 };
	const reports = losses.map((loss, i) => ({
		...run,
		group: "validation",
		stepsCompleted: i + 1,
		metricsJson: JSON.stringify({ other: -1, loss }),
	}));
	if (steps !== undefined) {
		reports.push({ ...run, group: "training", stepsCompleted: steps, metricsJson: '{"loss":-1000}' });
	}
	for (const [i, report] of reports.entries()) {
		await metrics.reportMetrics({ clientId: randomUUID(), sequence: BigInt(i + 1), reports: [report] });
	}
	if (end !== "open") {
		await trials.endTrialRun({ ...run, state: TrialRunState[end] });
	}
	return trialId;
}

type Request = MessageInitShape<typeof ListTrialsRequestSchema>;

/** Lists all pages of two trials each. */
async function listPages(request: Request): Promise<Trial[]> {
	const found: Trial[] = [];
	let pageToken = "";
	do {
		const page = await trials.listTrials({ ...request, pageSize: 2, pageToken });
		assert.ok(page.trials.length <= 2);
		found.push(...page.trials);
		pageToken = page.nextPageToken;
	} while (pageToken !== "");
	return found;
}

const idsOf = (found: readonly Trial[]) => found.map(({ id }) => id);

describe("TrialService.ListTrials", { timeout: 120_000 }, () => {
	const never = Number.MAX_SAFE_INTEGER;
	const fates: readonly Fate[] = [
		{ end: "COMPLETED", losses: [0.5, 0.25, 3], steps: 40 },
		{ end: "open", losses: ["NaN", 0.25], steps: 7 },
		{ end: "FAILED", restarts: 2, losses: ["NaN"] },
		{ end: "KILLED", losses: [null], steps: 40 },
		{ end: "open", losses: ["-Infinity", "Infinity"] },
		{ end: "COMPLETED", restarts: 1, losses: [1e308, "NaN"] },
		{ end: "open" },
		{ end: "COMPLETED", restarts: 2, losses: [4, -2, 4] },
	];
	let other = 0;
	let experimentId = 0;
	let larger = 0;
	const ids: number[] = [];

	before(async () => {
		const created = async (searcher: Record<string, string | boolean>) => {
			const { experiment } = await experiments.createExperiment({ config: { name: "lists", searcher } });
			return experiment?.id ?? 0;
		};
		other = await created({ name: "single" });
		await createTrial(other, { end: "open", losses: [0] });
		experimentId = await created({ name: "single", metric: "loss" });
		for (const fate of fates) {
			ids.push(await createTrial(experimentId, fate));
		}
		larger = await created({ name: "single", metric: "loss", smaller_is_better: false });
		for (const losses of [[1, 5], ["NaN", 3], [], ["NaN"], ["Infinity"]]) {
			await createTrial(larger, { end: "open", losses });
		}
		await storeCheckpoints();
	});

	/** Gives some trials checkpoints, as no method of the wire does without files. */
	async function storeCheckpoints() {
		const checkpoints = server.client(CheckpointService);
		const connection = await Connection.open(`${server.dataDirectory}/millrace.db`);
		const sizes: readonly [trial: number, size: bigint, state: string][] = [
			[0, 100n, "COMPLETED"],
			[0, 50n, "COMPLETED"],
			[2, 120n, "COMPLETED"],
			[4, 900n, "DELETED"],
			[7, 120n, "COMPLETED"],
		];
		for (const [index, sizeBytes, state] of sizes) {
			const { checkpoint } = await checkpoints.createCheckpoint({});
			const checkpointUuid = checkpoint?.uuid ?? "";
			const files = [{ path: "model.onnx", sizeBytes, sha256: "b".repeat(64) }];
			await checkpoints.completeCheckpoint({ checkpointUuid, files });
			await connection.run(
				"UPDATE checkpoints SET trial_id = ?, state = ? WHERE uuid = ?",
				ids[index] ?? 0,
				state,
				checkpointUuid,
			);
		}
		await connection.close();
	}

	const keys: readonly [SortBy, (trial: Trial) => number][] = [
		[SortBy.ID, ({ id }) => id],
		[SortBy.START_TIME, ({ createTime }) => (createTime ? timestampMs(createTime) : 0)],
		[SortBy.END_TIME, ({ endTime }) => (endTime ? timestampMs(endTime) : never)],
		[SortBy.STATE, ({ state }) => state],
		[SortBy.RESTARTS, ({ restarts }) => restarts],
	];
	for (const [sortBy, key] of keys) {
		for (const orderBy of [OrderBy.UNSPECIFIED, OrderBy.ASC, OrderBy.DESC]) {
			it(`sorts by ${SortBy[sortBy]}, ${OrderBy[orderBy]}, over several pages`, async () => {
				const { trials: all } = await trials.listTrials({ experimentId });
				const sign = orderBy === OrderBy.DESC ? -1 : 1;
				const wanted = all.toSorted((a, b) => sign * (key(a) - key(b) || a.id - b.id));
				assert.equal(wanted.length, fates.length);
				assert.deepEqual(idsOf(await listPages({ experimentId, sortBy, orderBy })), idsOf(wanted));
			});
		}
	}

	// The trials by their places in the list of fates.
	const orders: readonly [SortBy, ascending: number[], descending: number[]][] = [
		[SortBy.BATCHES_PROCESSED, [6, 2, 4, 5, 7, 1, 0, 3], [3, 0, 1, 7, 5, 4, 2, 6]],
		[SortBy.CHECKPOINT_SIZE, [1, 3, 4, 5, 6, 2, 7, 0], [0, 7, 2, 6, 5, 4, 3, 1]],
		// Smaller is better: the best are -Infinity, -2, 0.25 twice, 1e308, and NaN; two have none.
		[SortBy.BEST_VALIDATION_METRIC, [4, 7, 0, 1, 5, 2, 3, 6], [2, 5, 1, 0, 7, 4, 6, 3]],
		[SortBy.LATEST_VALIDATION_METRIC, [1, 0, 7, 4, 2, 5, 3, 6], [5, 2, 4, 7, 0, 1, 6, 3]],
	];
	for (const [sortBy, ascending, descending] of orders) {
		it(`sorts by ${SortBy[sortBy]}, over several pages`, async () => {
			const placesOf = (found: Trial[]) => found.map(({ id }) => ids.indexOf(id));
			assert.deepEqual(placesOf(await listPages({ experimentId, sortBy })), ascending);
			assert.deepEqual(placesOf(await listPages({ experimentId, sortBy, orderBy: OrderBy.DESC })), descending);
		});
	}

	it("takes the largest value for the best where larger is better, but NaN never", async () => {
		const sortBy = SortBy.BEST_VALIDATION_METRIC;
		const places = async (orderBy: OrderBy) =>
			(await listPages({ experimentId: larger, sortBy, orderBy })).map(({ id }) => id - (ids.at(-1) ?? 0) - 1);
		// 3 of the second, 5 of the first, Infinity, NaN; the third has none.
		assert.deepEqual(await places(OrderBy.ASC), [1, 0, 4, 3, 2]);
		assert.deepEqual(await places(OrderBy.DESC), [3, 4, 0, 1, 2]);
	});

	it("sorts by DURATION as of its first page, whatever time the next ones take", async () => {
		const sortBy = SortBy.DURATION;
		const first = await trials.listTrials({ experimentId, sortBy, pageSize: 4 });
		const rest: Trial[] = [];
		let { nextPageToken: pageToken } = first;
		while (pageToken !== "") {
			const page = await trials.listTrials({ experimentId, sortBy, pageSize: 1, pageToken });
			rest.push(...page.trials);
			pageToken = page.nextPageToken;
		}
		const all = [...first.trials, ...rest];
		assert.deepEqual(idsOf(all).toSorted(), ids.toSorted());
		const ended = all.filter(({ endTime }) => endTime !== undefined);
		const durations = ended.map(({ createTime, endTime }) =>
			createTime && endTime ? timestampMs(endTime) - timestampMs(createTime) : never,
		);
		assert.deepEqual(
			durations,
			durations.toSorted((a, b) => a - b),
		);
		// What runs has run longest that was created first.
		const open = idsOf(all.filter(({ endTime }) => endTime === undefined));
		assert.deepEqual(
			open,
			open.toSorted((a, b) => b - a),
		);
	});

	it("has an order for each sort that there is", () => {
		const known = Object.values(SortBy).filter((value): value is SortBy => typeof value === "number" && value > 0);
		const tested = [...keys, ...orders].map(([sortBy]) => sortBy);
		assert.deepEqual([...tested, SortBy.DURATION].toSorted(), known.toSorted());
	});

	it("lists the newest first unless it is told otherwise, of one experiment or of all", async () => {
		assert.deepEqual(idsOf(await listPages({ experimentId })), ids.toReversed());
		const all = idsOf(await listPages({}));
		assert.deepEqual(
			all,
			all.toSorted((a, b) => b - a),
		);
		assert.equal(all.length, 14);
		assert.deepEqual(idsOf(await listPages({ orderBy: OrderBy.ASC })), all.toReversed());
	});

	it("filters by states", async () => {
		const states = [TrialState.ERROR, TrialState.CANCELED, TrialState.ERROR];
		assert.deepEqual(idsOf(await listPages({ states, orderBy: OrderBy.ASC })), [ids[2], ids[3]]);
		const found = await listPages({ experimentId, states: [TrialState.ACTIVE], sortBy: SortBy.START_TIME });
		assert.deepEqual(idsOf(found), [ids[1], ids[4], ids[6]]);
		assert.deepEqual(await listPages({ states: [TrialState.PAUSED] }), []);
	});

	it("refuses a sort without an experiment, and what there is not", async () => {
		await assert.rejects(
			trials.listTrials({ sortBy: SortBy.STATE }),
			errorWith("invalid_argument", /sort_by is STATE without an experiment_id/),
		);
		await assert.rejects(trials.listTrials({ sortBy: Number(99) }), errorWith("invalid_argument", /sort_by is 99/));
		await assert.rejects(trials.listTrials({ states: [Number(9)] }), errorWith("invalid_argument", /states\[0\] is 9/));
		const sortBy = SortBy.DURATION;
		for (const pageToken of ["x", "@", "x@1", "@999999999999999", "bnVsbA@5"]) {
			await assert.rejects(
				trials.listTrials({ experimentId, sortBy, pageToken }),
				errorWith("invalid_argument", /page_token .* is not one of this list/),
			);
		}
	});
});
