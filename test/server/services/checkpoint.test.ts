import assert from "node:assert/strict";
import { createHash, randomUUID } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, it } from "node:test";
import { setTimeout } from "node:timers/promises";
import {
	type Checkpoint,
	CheckpointSortBy as SortBy,
	CheckpointState as State,
} from "../../../src/gen/millrace/v1/checkpoint_pb.js";
import { CheckpointService } from "../../../src/gen/millrace/v1/checkpoint_service_pb.js";
import { ExperimentService } from "../../../src/gen/millrace/v1/experiment_service_pb.js";
import { OrderBy } from "../../../src/gen/millrace/v1/list_pb.js";
import { MetricService } from "../../../src/gen/millrace/v1/metric_service_pb.js";
import { ModelService } from "../../../src/gen/millrace/v1/model_service_pb.js";
import { TrialRunState } from "../../../src/gen/millrace/v1/trial_pb.js";
import { TrialService } from "../../../src/gen/millrace/v1/trial_service_pb.js";
import { openStorage } from "../../../src/storage/open-storage.js";
import { errorWith } from "../../support/error-with.js";
import { startTestServer, type TestServer } from "../../support/start-test-server.js";
import { tempDir } from "../../support/temp-dir.js";
import { waitUntil } from "../../support/wait-until.js";

const fileOf = (path: string, content: string | Buffer) => ({
	path,
	sizeBytes: BigInt(Buffer.byteLength(content)),
	sha256: createHash("sha256").update(content).digest("hex"),
});

/** Starts a run of a new trial, and gives what reports to it and writes its checkpoints. */
async function startRun(server: TestServer, config: Record<string, string | object> = {}) {
	const { experiment } = await server.client(ExperimentService).createExperiment({
		config: { name: "test", ...config } as Record<string, string>,
	});
	const experimentId = experiment?.id ?? 0;
	const hparams = { lr: 0.5 };
	const { trial } = await server.client(TrialService).createTrial({ experimentId, hparams, maxRestarts: 5 });
	const trialId = trial?.id ?? 0;
	const { trialRun } = await server.client(TrialService).startTrialRun({ requestId: randomUUID(), trialId });
	const run = { trialId, trialRunId: trialRun?.trialRunId ?? 0 };
	return {
		experimentId,
		trial,
		run,
		report: async (group: string, stepsCompleted: number, metrics: object) => {
			const reports = [{ ...run, group, stepsCompleted, metricsJson: JSON.stringify(metrics) }];
			await server.client(MetricService).reportMetrics({ clientId: randomUUID(), sequence: 1n, reports });
		},
		store: (steps: number) => store(server, { "model.bin": `of step ${steps}` }, { ...run, steps }),
	};
}

/** Writes files directly into the storage, as a client that reaches it, and completes a checkpoint of them. */
async function store(
	server: TestServer,
	contents: Record<string, string>,
	by: { trialId?: number; trialRunId?: number; steps?: number } = {},
): Promise<Checkpoint> {
	const { steps, ...run } = by;
	const checkpoints = server.client(CheckpointService);
	const { checkpoint } = await checkpoints.createCheckpoint({ ...run });
	const files = Object.entries(contents).map(([path, content]) => fileOf(path, content));
	for (const [path, content] of Object.entries(contents)) {
		const place = join(directoryOf(checkpoint), path);
		mkdirSync(dirname(place), { recursive: true });
		writeFileSync(place, content);
	}
	const metadata = steps === undefined ? {} : { steps_completed: steps };
	const completed = await checkpoints.completeCheckpoint({ checkpointUuid: checkpoint?.uuid ?? "", files, metadata });
	return completed.checkpoint as Checkpoint;
}

const directoryOf = (checkpoint: Checkpoint | undefined) =>
	openStorage(checkpoint?.storage).directory(checkpoint?.uuid ?? "");
const paths = (checkpoint: Checkpoint | undefined) => checkpoint?.files.map(({ path }) => path);

describe("CheckpointService, of trials", { timeout: 60_000 }, () => {
	it("knows the trial, its run, and what was reported at the checkpoint's steps", async () => {
		const server = await startTestServer();
		const { trial, run, experimentId, report, store } = await startRun(server, { searcher: { metric: "loss" } });
		await report("validation", 3, { loss: 0.25, note: "x" });
		await report("training", 3, { loss: 0.75 });
		await report("validation", 4, { loss: 9 });
		const { uuid } = await store(3);
		const { checkpoint } = await server.client(CheckpointService).getCheckpoint({ checkpointUuid: uuid });
		assert.equal(checkpoint?.trialId, run.trialId);
		assert.equal(checkpoint.trialRunId, run.trialRunId);
		assert.equal(checkpoint.taskId, `${experimentId}.${trial?.outputUuid}`);
		assert.equal(checkpoint.allocationId, `${checkpoint.taskId}.${run.trialRunId}`);
		assert.equal(checkpoint.stepsCompleted, 3);
		const { training } = checkpoint;
		assert.equal(training?.trialId, run.trialId);
		assert.equal(training.experimentId, experimentId);
		assert.equal(training.experimentConfig?.name, "test");
		assert.deepEqual(training.hparams, { lr: 0.5 });
		assert.deepEqual(JSON.parse(training.validationMetricsJson), { loss: 0.25, note: "x" });
		assert.deepEqual(JSON.parse(training.trainingMetricsJson), { loss: 0.75 });
		assert.equal(training.searcherMetric, 0.25);
	});

	it("has no steps where metadata.steps_completed is no whole number", async () => {
		const server = await startTestServer();
		const { run } = await startRun(server);
		for (const steps of [1.5, "3", null, [3], 2 ** 40]) {
			const metadata = { steps_completed: steps };
			const { checkpoint } = await server.client(CheckpointService).createCheckpoint({ metadata, ...run });
			assert.equal(checkpoint?.stepsCompleted, undefined);
			assert.equal(checkpoint?.training?.validationMetricsJson, "");
		}
	});

	it("are kept where the trial's files are", async () => {
		const server = await startTestServer();
		const directory = tempDir();
		const storage = { checkpoint_storage: { type: "directory", container_path: directory } };
		const { store } = await startRun(server, storage);
		assert.equal(directoryOf(await store(1)), join(directory, readdirSync(directory)[0] as string));
	});

	it("are written by the open run only, and given up with it", async () => {
		const server = await startTestServer();
		const checkpoints = server.client(CheckpointService);
		const { run } = await startRun(server);
		const { checkpoint } = await checkpoints.createCheckpoint(run);
		assert.equal(checkpoint?.state, State.ACTIVE);
		await server.client(TrialService).endTrialRun({ ...run, state: TrialRunState.FAILED, reason: "it broke" });
		await assert.rejects(checkpoints.createCheckpoint(run), errorWith("failed_precondition", /closed as FAILED: it/));
		const left = await checkpoints.getCheckpoint({ checkpointUuid: checkpoint.uuid });
		assert.equal(left.checkpoint?.state, State.ERROR);
		await assert.rejects(
			checkpoints.completeCheckpoint({ checkpointUuid: checkpoint.uuid, files: [fileOf("a", "a")] }),
			errorWith("failed_precondition", /is in state ERROR; only an ACTIVE one can be completed/),
		);
		await assert.rejects(checkpoints.createCheckpoint({ trialId: 999, trialRunId: 1 }), errorWith("not_found", /999/));
		await assert.rejects(
			checkpoints.createCheckpoint({ trialId: run.trialId }),
			errorWith("invalid_argument", /trial_run_id is 0/),
		);
		await assert.rejects(
			checkpoints.createCheckpoint({ trialRunId: 1 }),
			errorWith("invalid_argument", /trial_id is missing/),
		);
	});

	it("leave nothing in storage when their run ended before they were completed, also what was staged", async () => {
		const dataDirectory = tempDir();
		const server = await startTestServer({ dataDirectory });
		const { run } = await startRun(server);
		const { checkpoint } = await server.client(CheckpointService).createCheckpoint(run);
		const directory = directoryOf(checkpoint);
		mkdirSync(join(directory, ".millrace-rank-1"));
		writeFileSync(join(directory, ".millrace-rank-1/half"), "half");
		writeFileSync(join(directory, "placed"), "placed");
		await server.client(TrialService).endTrialRun({ ...run, state: TrialRunState.FAILED, reason: "it broke" });
		await server.close();
		await startTestServer({ dataDirectory });
		await waitUntil("the removal", () => !existsSync(directory));
	});

	it("are answered the same when they are completed twice in the same way", async () => {
		const server = await startTestServer();
		const checkpoints = server.client(CheckpointService);
		const { checkpoint } = await checkpoints.createCheckpoint({ metadata: { a: 1, b: 1 } });
		const complete = {
			checkpointUuid: checkpoint?.uuid ?? "",
			files: [fileOf("model", "x")],
			metadata: { b: 2, c: { d: 3 } },
		};
		const done = await checkpoints.completeCheckpoint(complete);
		assert.deepEqual(done.checkpoint?.metadata, { a: 1, b: 2, c: { d: 3 } });
		assert.deepEqual(await checkpoints.completeCheckpoint(complete), done);
		await assert.rejects(
			checkpoints.completeCheckpoint({ ...complete, metadata: { b: 3 } }),
			errorWith("failed_precondition", /COMPLETED with other metadata/),
		);
	});
});

describe("CheckpointService.updateCheckpointMetadata", { timeout: 300_000 }, () => {
	it("keeps all keys of two who add 1,000 each at once (F.53)", async () => {
		const server = await startTestServer();
		const { uuid: checkpointUuid } = await store(server, { model: "x" });
		const add = async (writer: string) => {
			const checkpoints = server.client(CheckpointService);
			for (let i = 0; i < 1_000; i += 50) {
				await Promise.all(
					Array.from({ length: 50 }, (_, j) =>
						checkpoints.updateCheckpointMetadata({
							checkpointUuid,
							metadata: { set: { [`${writer}${i + j}`]: i + j } },
						}),
					),
				);
			}
		};
		await Promise.all([add("a"), add("b")]);
		const { checkpoint } = await server.client(CheckpointService).getCheckpoint({ checkpointUuid });
		assert.equal(Object.keys(checkpoint?.metadata ?? {}).length, 2_000);
		assert.equal(checkpoint?.metadata?.b999, 999);
	});

	it("sets and removes top-level keys", async () => {
		const server = await startTestServer();
		const checkpoints = server.client(CheckpointService);
		const { uuid: checkpointUuid } = await store(server, { model: "x" }, { steps: 4 });
		const change = (metadata: object) => checkpoints.updateCheckpointMetadata({ checkpointUuid, metadata });
		const changed = await change({ remove: ["absent"], set: { a: { b: [1, null] }, steps_completed: 5 } });
		assert.deepEqual(changed.checkpoint?.metadata, { steps_completed: 5, a: { b: [1, null] } });
		assert.equal(changed.checkpoint?.stepsCompleted, 5);
		assert.deepEqual((await change({ remove: ["a"] })).checkpoint?.metadata, { steps_completed: 5 });
		assert.deepEqual((await change({ clear: true })).checkpoint?.metadata, {});
		const unknown = randomUUID();
		await assert.rejects(
			checkpoints.updateCheckpointMetadata({ checkpointUuid: unknown, metadata: {} }),
			errorWith("not_found", new RegExp(`checkpoint '${unknown}' not found`)),
		);
		await assert.rejects(
			checkpoints.updateCheckpointMetadata({ checkpointUuid }),
			errorWith("invalid_argument", /metadata is missing/),
		);
	});
});

describe("CheckpointService.listCheckpoints", { timeout: 60_000 }, () => {
	it("sorts by the searcher's metric, the best first, and what lacks it last in both directions (F.37)", async () => {
		const server = await startTestServer();
		const values = [0.5, "none", 0.25, "Infinity", "NaN", 0.75, null, { a: 1 }, "-Infinity", true];
		for (const smaller of [true, false, undefined]) {
			const searcher = { metric: "loss", ...(smaller !== undefined && { smaller_is_better: smaller }) };
			const { run, experimentId, report, store } = await startRun(server, { searcher });
			const uuids: string[] = [];
			for (const [i, loss] of values.entries()) {
				await report("validation", i + 1, { loss, other: -i });
				uuids.push((await store(i + 1)).uuid);
			}
			uuids.push((await store(99)).uuid);
			const list = async (request: object) => {
				const found: number[] = [];
				let pageToken = "";
				do {
					const page = await server.client(CheckpointService).listCheckpoints({ pageSize: 3, pageToken, ...request });
					found.push(...page.checkpoints.map(({ uuid }) => uuids.indexOf(uuid)));
					pageToken = page.nextPageToken;
				} while (pageToken !== "");
				return found;
			};
			const rising = [8, 2, 0, 5, 3];
			const lacking = [10, 9, 7, 6, 4, 1];
			const falling = [...rising].reverse();
			const best = smaller === false ? falling : rising;
			for (const scope of [{ trialId: run.trialId }, { experimentId }, { trialId: run.trialId, experimentId }]) {
				const byMetric = { ...scope, sortBy: SortBy.SEARCHER_METRIC };
				assert.deepEqual(await list(byMetric), [...best, ...lacking]);
				assert.deepEqual(await list({ ...byMetric, orderBy: OrderBy.ASC }), [...rising, ...lacking]);
				assert.deepEqual(await list({ ...byMetric, orderBy: OrderBy.DESC }), [...falling, ...lacking]);
				const byOther = { ...scope, sortByMetric: "other", orderBy: OrderBy.ASC };
				assert.deepEqual(await list(byOther), [9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 10]);
				assert.deepEqual(await list({ ...scope, sortByMetric: 'no"such\u0000' }), [10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0]);
			}
		}
	});

	it("sorts by everything else, in both directions, and filters by trial, experiment and state", async () => {
		const server = await startTestServer();
		const checkpoints = server.client(CheckpointService);
		const first = await startRun(server);
		const second = await startRun(server);
		const all = [
			await first.store(7),
			await second.store(5),
			await first.store(5),
			(await checkpoints.createCheckpoint(first.run)).checkpoint as Checkpoint,
			await store(server, { a: "a" }),
		];
		await checkpoints.removeCheckpointFiles({ checkpointUuids: [all[2]?.uuid ?? ""], globs: ["**/*"] });
		const list = async (request: object) => {
			const found: number[] = [];
			let pageToken = "";
			do {
				const page = await checkpoints.listCheckpoints({ pageSize: 2, pageToken, ...request });
				found.push(...page.checkpoints.map(({ uuid }) => all.findIndex((one) => one.uuid === uuid)));
				pageToken = page.nextPageToken;
			} while (pageToken !== "");
			return found;
		};
		assert.deepEqual(await list({}), [4, 3, 2, 1, 0]);
		assert.deepEqual(await list({ orderBy: OrderBy.ASC }), [0, 1, 2, 3, 4]);
		assert.deepEqual(await list({ sortBy: SortBy.END_TIME }), [0, 1, 2, 3, 4]);
		assert.deepEqual(await list({ states: [State.DELETED, State.ACTIVE] }), [3, 2]);
		const { trialId } = first.run;
		assert.deepEqual(await list({ trialId }), [3, 2, 0]);
		assert.deepEqual(await list({ experimentId: second.experimentId }), [1]);
		assert.deepEqual(await list({ trialId, experimentId: second.experimentId }), []);
		assert.deepEqual(await list({ trialId, sortBy: SortBy.BATCH_NUMBER }), [2, 0, 3]);
		assert.deepEqual(await list({ trialId, sortBy: SortBy.BATCH_NUMBER, orderBy: OrderBy.DESC }), [0, 2, 3]);
		assert.deepEqual(await list({ trialId, sortBy: SortBy.STATE }), [3, 0, 2]);
		assert.deepEqual(await list({ trialId, sortBy: SortBy.TRIAL_ID, orderBy: OrderBy.DESC }), [3, 2, 0]);
		const uuids = [0, 2, 3].sort((a, b) => ((all[a]?.uuid ?? "") < (all[b]?.uuid ?? "") ? -1 : 1));
		assert.deepEqual(await list({ trialId, sortBy: SortBy.UUID }), uuids);
	});

	it("refuses what it cannot sort by, and unknown trials and experiments", async () => {
		const server = await startTestServer();
		const checkpoints = server.client(CheckpointService);
		const refused = (request: object, message: RegExp) =>
			assert.rejects(checkpoints.listCheckpoints(request), errorWith("invalid_argument", message));
		await refused({ sortBy: SortBy.UUID }, /sort_by is UUID, which needs a trial_id or an experiment_id/);
		await refused({ sortByMetric: "loss" }, /sort_by_metric is set, which needs/);
		await refused({ sortBy: 77 }, /sort_by is 77/);
		await refused({ orderBy: 77 }, /order_by is 77/);
		await refused({ states: [77] }, /states\[0\] is 77/);
		await refused({ trialId: -1 }, /trial_id is -1/);
		await refused({ pageToken: "?" }, /page_token/);
		await assert.rejects(checkpoints.listCheckpoints({ trialId: 7 }), errorWith("not_found", /trial 7 not found/));
		await assert.rejects(checkpoints.listCheckpoints({ experimentId: 7 }), errorWith("not_found", /experiment 7 not/));
	});
});

describe("CheckpointService.removeCheckpointFiles", { timeout: 60_000 }, () => {
	const contents = { "model.bin": "m", "data/a.txt": "a", "data/deep/.hidden": "h", "data(1).txt": "d" };

	it("takes the files that a glob fits from the list and from the storage", async () => {
		const server = await startTestServer();
		const checkpoints = server.client(CheckpointService);
		const remaining = async (...globs: string[]) => {
			const stored = await store(server, contents);
			const request = { requestId: randomUUID(), checkpointUuids: [stored.uuid], globs };
			const answer = await checkpoints.removeCheckpointFiles(request);
			const [checkpoint] = answer.checkpoints;
			for (const path of Object.keys(contents)) {
				assert.equal(existsSync(join(directoryOf(stored), path)), paths(checkpoint)?.includes(path), path);
			}
			assert.deepEqual(await checkpoints.removeCheckpointFiles(request), answer);
			return { paths: paths(checkpoint), state: State[checkpoint?.state ?? 0] };
		};
		assert.deepEqual(await remaining("*.bin"), {
			paths: ["data(1).txt", "data/a.txt", "data/deep/.hidden"],
			state: "PARTIALLY_DELETED",
		});
		assert.deepEqual((await remaining("**/*.txt")).paths, ["data/deep/.hidden", "model.bin"]);
		assert.deepEqual((await remaining("data(1).txt")).paths, ["data/a.txt", "data/deep/.hidden", "model.bin"]);
		assert.deepEqual((await remaining("data/**", "model.bin")).paths, ["data(1).txt"]);
		assert.deepEqual((await remaining("data/[!b].txt")).paths, ["data(1).txt", "data/deep/.hidden", "model.bin"]);
		assert.equal((await remaining("!model.bin")).state, "COMPLETED");
		assert.equal((await remaining("nothing")).state, "COMPLETED");
		assert.deepEqual(await remaining("**/*"), { paths: [], state: "DELETED" });
	});

	it("leaves nothing of a deleted checkpoint, which never comes back (F.42)", async () => {
		const server = await startTestServer();
		const checkpoints = server.client(CheckpointService);
		const stored = await store(server, contents);
		const remove = (globs: string[]) => checkpoints.removeCheckpointFiles({ checkpointUuids: [stored.uuid], globs });
		assert.equal((await remove(["*.bin"])).checkpoints[0]?.state, State.PARTIALLY_DELETED);
		assert.equal((await remove(["**/*"])).checkpoints[0]?.state, State.DELETED);
		assert.equal(existsSync(directoryOf(stored)), false);
		mkdirSync(directoryOf(stored));
		writeFileSync(join(directoryOf(stored), "model.bin"), "m");
		for (const globs of [[], ["*.bin"], ["**/*"]]) {
			assert.equal((await remove(globs)).checkpoints[0]?.state, State.DELETED);
		}
		await assert.rejects(
			checkpoints.completeCheckpoint({ checkpointUuid: stored.uuid, files: [fileOf("model.bin", "m")] }),
			errorWith("failed_precondition", /is in state DELETED/),
		);
		const { checkpoint } = await checkpoints.getCheckpoint({ checkpointUuid: stored.uuid });
		assert.deepEqual(checkpoint?.files, []);
	});

	it("drops what is gone from the storage when there is no glob", async () => {
		const server = await startTestServer();
		const checkpoints = server.client(CheckpointService);
		const stored = await store(server, contents);
		const refresh = () => checkpoints.removeCheckpointFiles({ checkpointUuids: [stored.uuid] });
		assert.equal((await refresh()).checkpoints[0]?.state, State.COMPLETED);
		rmSync(join(directoryOf(stored), "data"), { recursive: true });
		const [checkpoint] = (await refresh()).checkpoints;
		assert.deepEqual(paths(checkpoint), ["data(1).txt", "model.bin"]);
		assert.equal(checkpoint?.state, State.PARTIALLY_DELETED);
	});

	it("touches nothing where one is registered, also of the others (F.36)", async () => {
		const server = await startTestServer();
		const checkpoints = server.client(CheckpointService);
		const [free, registered] = [await store(server, contents), await store(server, contents)];
		const { model } = await server.client(ModelService).createModel({ name: "digits" });
		const register = () =>
			server.client(ModelService).registerModelVersion({ model: "digits", checkpointUuid: registered.uuid });
		await register();
		for (const globs of [["**/*"], ["*.bin"], []]) {
			await assert.rejects(
				checkpoints.removeCheckpointFiles({ checkpointUuids: [free.uuid, registered.uuid], globs }),
				(error: Error) => {
					assert.equal(
						error.message,
						"this subset of checkpoints provided are in the model registry and cannot be deleted: " +
							`${registered.uuid}, registered to digits (model #${model?.id}), version 1.`,
					);
					return errorWith("failed_precondition", /./)(error);
				},
			);
		}
		for (const stored of [free, registered]) {
			const { checkpoint } = await checkpoints.getCheckpoint({ checkpointUuid: stored.uuid });
			assert.equal(checkpoint?.state, State.COMPLETED);
			assert.equal(readFileSync(join(directoryOf(stored), "model.bin"), "utf8"), "m");
		}
	});

	it("lets either a registration or a removal win that come at once", async () => {
		const server = await startTestServer();
		await server.client(ModelService).createModel({ name: "digits" });
		const outcomes = await Promise.all(
			Array.from({ length: 10 }, async () => {
				const stored = await store(server, contents);
				const [registered, removed] = await Promise.allSettled([
					server.client(ModelService).registerModelVersion({ model: "digits", checkpointUuid: stored.uuid }),
					server.client(CheckpointService).removeCheckpointFiles({ checkpointUuids: [stored.uuid], globs: ["**/*"] }),
				]);
				assert.notEqual(registered.status, removed.status);
				assert.equal(existsSync(join(directoryOf(stored), "model.bin")), registered.status === "fulfilled");
				return registered.status;
			}),
		);
		assert.equal(outcomes.length, 10);
	});

	it("gives up a checkpoint that is being written, as a whole only", async () => {
		const server = await startTestServer();
		const checkpoints = server.client(CheckpointService);
		const { checkpoint } = await checkpoints.createCheckpoint({});
		const checkpointUuids = [checkpoint?.uuid ?? ""];
		assert.equal(existsSync(directoryOf(checkpoint)), true);
		await assert.rejects(
			checkpoints.removeCheckpointFiles({ checkpointUuids, globs: ["*"] }),
			errorWith("failed_precondition", /is ACTIVE, so its files are being written/),
		);
		const remove = () => checkpoints.removeCheckpointFiles({ checkpointUuids, globs: ["**/*"] });
		assert.equal((await remove()).checkpoints[0]?.state, State.ERROR);
		assert.equal(existsSync(directoryOf(checkpoint)), false);
		assert.equal((await remove()).checkpoints[0]?.state, State.DELETED);
	});

	it("never reuses a checkpoint from which a file was removed", async () => {
		const server = await startTestServer();
		const checkpoints = server.client(CheckpointService);
		const files = Object.entries(contents).map(([path, content]) => fileOf(path, content));
		const stored = await store(server, contents);
		const reused = async () => (await checkpoints.createCheckpoint({ files, reuse: true })).checkpoint;
		assert.equal((await reused())?.uuid, stored.uuid);
		await checkpoints.removeCheckpointFiles({ checkpointUuids: [stored.uuid], globs: ["model.bin"] });
		const other = await reused();
		assert.notEqual(other?.uuid, stored.uuid);
		const completed = await checkpoints.completeCheckpoint({ checkpointUuid: other?.uuid ?? "", files, reuse: true });
		assert.equal(completed.checkpoint?.uuid, other?.uuid);
		await checkpoints.removeCheckpointFiles({ checkpointUuids: [other?.uuid ?? ""], globs: ["**/*"] });
		assert.equal((await reused())?.state, State.ACTIVE);
	});

	it("keeps in mind what it could not remove, and removes it with the next server", async () => {
		const dataDirectory = tempDir();
		const server = await startTestServer({ dataDirectory });
		const stored = await store(server, contents);
		const storage = join(dataDirectory, "storage");
		renameSync(storage, `${storage}.away`);
		const answer = await server
			.client(CheckpointService)
			.removeCheckpointFiles({ checkpointUuids: [stored.uuid], globs: ["**/*"] });
		assert.equal(answer.checkpoints[0]?.state, State.DELETED);
		assert.match(server.logged.join("\n"), new RegExp(`files of checkpoint ${stored.uuid} are to be removed`));
		await server.close();
		renameSync(`${storage}.away`, storage);
		assert.equal(existsSync(join(directoryOf(stored), "model.bin")), true);
		await startTestServer({ dataDirectory });
		await waitUntil("the removal", () => !existsSync(directoryOf(stored)));
	});

	it("goes on for others while a glob with too many ways to fit a name is tried, and refuses it", async () => {
		const server = await startTestServer();
		const checkpoints = server.client(CheckpointService);
		const { checkpoint } = await checkpoints.createCheckpoint({});
		const checkpointUuid = checkpoint?.uuid ?? "";
		await checkpoints.completeCheckpoint({ checkpointUuid, files: [fileOf("a".repeat(100), "x")] });
		const removal = checkpoints
			.removeCheckpointFiles({ checkpointUuids: [checkpointUuid], globs: [`${"*a".repeat(20)}b`] })
			.catch((error) => error);
		const isSlow = await Promise.race([removal, setTimeout(200, "slow")]);
		assert.equal(isSlow, "slow");
		const others = checkpoints.updateCheckpointMetadata({ checkpointUuid, metadata: { set: { of: "another" } } });
		assert.equal(await Promise.race([removal, others.then(() => "went on")]), "went on");
		assert.match(String(await removal), /globs took more than 5 s for 1 paths; use globs with fewer wildcards/);
	});

	it("refuses malformed requests, and names what does not exist", async () => {
		const server = await startTestServer();
		const checkpoints = server.client(CheckpointService);
		const { uuid } = await store(server, contents);
		const refused = (request: { checkpointUuids?: string[]; globs?: string[] }, message: RegExp) =>
			assert.rejects(
				checkpoints.removeCheckpointFiles({ checkpointUuids: [uuid], ...request }),
				errorWith("invalid_argument", message),
			);
		await refused({ globs: [""] }, /globs\[0\]: cannot have empty string glob/);
		await refused({ globs: ["*", "../*"] }, /globs\[1\]: glob '\.\.\/\*' cannot contain '\.\.'/);
		await refused({ globs: ["a".repeat(1_001)] }, /globs\[0\] has 1001 characters/);
		await refused({ globs: Array.from({ length: 1_001 }, () => "a") }, /globs has 1001 globs/);
		await refused({ checkpointUuids: [], globs: ["*"] }, /checkpoint_uuids is empty/);
		await refused({ checkpointUuids: ["x"], globs: ["*"] }, /checkpoint_uuids\[0\] is "x"/);
		const absent = [randomUUID(), randomUUID()].sort();
		await assert.rejects(
			checkpoints.removeCheckpointFiles({ checkpointUuids: [...absent].reverse(), globs: ["*"] }),
			errorWith("not_found", new RegExp(`^checkpoints '${absent.join(", ")}' not found$`)),
		);
		for (const glob of [
			"[",
			"{",
			"(",
			"**",
			"\\",
			"[a-",
			"{a,b",
			"+(a+)+",
			"*".repeat(100),
			"\u0000",
			"]]",
			"[[:x:]]",
		]) {
			await checkpoints.removeCheckpointFiles({ checkpointUuids: [uuid], globs: [glob] });
		}
	});
});
