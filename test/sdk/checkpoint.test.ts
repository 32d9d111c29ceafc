import assert from "node:assert/strict";
import { appendFileSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { TrialSourceInfoType } from "../../src/gen/millrace/v1/trial_pb.js";
import { openStorage } from "../../src/storage/open-storage.js";
import { writeTree } from "../storage/storage-manager-suite.js";
import { clockToMove } from "../support/clock-to-move.js";
import { seedTrial } from "../support/seed-trial.js";
import { tempDir } from "../support/temp-dir.js";
import { useTestClient } from "../support/use-test-client.js";

const unknown = "6b8f1f0e-0000-4000-8000-000000000000";

describe("Checkpoint", { timeout: 60_000 }, () => {
	const test = useTestClient();
	const model = (content = "weights") => writeTree(tempDir(), { "model.onnx": content, "tokens/vocab.txt": "a" });
	const storedFile = async (uuid: string, path: string) => {
		const { checkpoint } = await test.connection.checkpoints.getCheckpoint({ checkpointUuid: uuid });
		return join(openStorage(checkpoint?.storage).directory(uuid), path);
	};

	it("is uploaded from a directory, with metadata, and read back", async () => {
		const start = Date.now();
		const uploaded = await test.client.uploadCheckpoint(model(), { metadata: { epoch: 3, user_key: ["x", null] } });
		const checkpoint = await test.client.getCheckpoint(uploaded.uuid);
		assert.match(checkpoint.uuid, /^[0-9a-f]{8}-[0-9a-f-]{27}$/);
		assert.equal(checkpoint.state, "COMPLETED");
		assert.equal(checkpoint.trialId, null);
		assert.deepEqual(checkpoint.metadata, { epoch: 3, user_key: ["x", null] });
		assert.deepEqual(checkpoint.resources, { "model.onnx": 7, "tokens/vocab.txt": 1 });
		assert.ok(Math.abs(checkpoint.reportTime.getTime() - start) < 30_000);
		assert.deepEqual({ ...checkpoint }, { ...uploaded });
	});

	it("is uploaded from a single file", async () => {
		const checkpoint = await test.client.uploadCheckpoint(join(model(), "model.onnx"));
		assert.deepEqual(checkpoint.resources, { "model.onnx": 7 });
	});

	it("is made anew for the same content, unless reuse is asked for", async () => {
		const upload = (reuse: boolean) => test.client.uploadCheckpoint(model("the same"), { reuse });
		const first = await upload(true);
		assert.equal((await upload(true)).uuid, first.uuid);
		assert.notEqual((await upload(false)).uuid, first.uuid);
		assert.equal((await upload(true)).uuid, first.uuid);
		assert.notEqual((await test.client.uploadCheckpoint(model("other"), { reuse: true })).uuid, first.uuid);
	});

	it("gets its files back when it is reused and they are gone from the storage", async () => {
		const upload = () => test.client.uploadCheckpoint(model("lost"), { reuse: true });
		const { uuid } = await upload();
		rmSync(await storedFile(uuid, "tokens"), { recursive: true });
		writeFileSync(await storedFile(uuid, "model.onnx"), "");
		const again = await upload();
		assert.equal(again.uuid, uuid);
		const path = await again.download(tempDir());
		assert.equal(readFileSync(join(path, "model.onnx"), "utf8"), "lost");
		assert.equal(readFileSync(join(path, "tokens/vocab.txt"), "utf8"), "a");
	});

	it("is not uploaded from what is no path", async () => {
		const path = undefined as unknown as string;
		await assert.rejects(test.client.uploadCheckpoint(path), {
			code: "invalid_argument",
			message: /is undefined; give/,
		});
	});

	it("is one for two who upload the same content at once with reuse", async () => {
		const uploads = [1, 2].map(() => test.client.uploadCheckpoint(model("at once"), { reuse: true }));
		const [one, other] = await Promise.all(uploads);
		assert.equal(one?.uuid, other?.uuid);
		assert.equal(readFileSync(await storedFile(one?.uuid ?? "", "model.onnx"), "utf8"), "at once");
	});

	it("is downloaded as it was", async () => {
		const { uuid } = await test.client.uploadCheckpoint(model());
		const target = join(tempDir(), "copy");
		assert.equal(await test.client.getCheckpoint(uuid).download(target), target);
		await assert.rejects(test.client.getCheckpoint(uuid).download(join(target, "metadata.json")), {
			message:
				/^cannot create the directory .*metadata\.json; give a directory, or a path where one can be made: EEXIST/,
		});
		assert.equal(readFileSync(join(target, "model.onnx"), "utf8"), "weights");
		assert.equal(readFileSync(join(target, "tokens/vocab.txt"), "utf8"), "a");
	});

	it("is downloaded to checkpoints/<uuid> by default", async (t) => {
		const checkpoint = await test.client.uploadCheckpoint(model());
		const [home, directory] = [process.cwd(), tempDir()];
		t.after(() => process.chdir(home));
		process.chdir(directory);
		const path = await checkpoint.download();
		assert.equal(path, join(directory, "checkpoints", checkpoint.uuid));
		assert.deepEqual(readdirSync(path).sort(), ["metadata.json", "model.onnx", "tokens"]);
	});

	it("is downloaded with its metadata beside, unless a file of it has that name", async () => {
		const metadata = { epoch: 3, user_key: ["x", null] };
		const checkpoint = await test.client.uploadCheckpoint(model(), { metadata });
		const target = await checkpoint.download(tempDir());
		assert.deepEqual(JSON.parse(readFileSync(join(target, "metadata.json"), "utf8")), metadata);
		const own = writeTree(tempDir(), { "metadata.json": "mine" });
		const other = await test.client.uploadCheckpoint(own, { metadata });
		assert.equal(readFileSync(join(await other.download(tempDir()), "metadata.json"), "utf8"), "mine");
	});

	it("adds and removes metadata, and keeps what another has added meanwhile (F.53)", async () => {
		const checkpoint = await test.client.uploadCheckpoint(model(), { metadata: { a: 1, b: 1 } });
		const other = await test.client.getCheckpoint(checkpoint.uuid);
		await other.addMetadata({ theirs: { deep: [1] } });
		await checkpoint.addMetadata({ a: 2, user_key: null });
		assert.deepEqual(checkpoint.metadata, { a: 2, b: 1, theirs: { deep: [1] }, user_key: null });
		await other.removeMetadata(["b", "absent"]);
		await test.client.getCheckpoint(checkpoint.uuid).removeMetadata(["user_key"]);
		await checkpoint.reload();
		assert.deepEqual(checkpoint.metadata, { a: 2, theirs: { deep: [1] } });
		await assert.rejects(checkpoint.addMetadata({ a: Number.NaN }), { code: "invalid_argument" });
		await assert.rejects(checkpoint.removeMetadata("a" as unknown as string[]), { code: "invalid_argument" });
	});

	it("loses the files that a glob fits, then all, for good (F.42)", async () => {
		const checkpoint = await test.client.uploadCheckpoint(model());
		await checkpoint.removeFiles(["**/*.txt"]);
		assert.equal(checkpoint.state, "PARTIALLY_DELETED");
		assert.deepEqual(checkpoint.resources, { "model.onnx": 7 });
		assert.equal(existsSync(await storedFile(checkpoint.uuid, "tokens/vocab.txt")), false);
		const target = await checkpoint.download(tempDir());
		assert.deepEqual(readdirSync(target).sort(), ["metadata.json", "model.onnx"]);
		const stale = await test.client.getCheckpoint(checkpoint.uuid);
		await checkpoint.delete();
		assert.equal(checkpoint.state, "DELETED");
		assert.deepEqual(checkpoint.resources, {});
		assert.equal(existsSync(await storedFile(checkpoint.uuid, "")), false);
		await assert.rejects(stale.download(tempDir()), { code: "failed_precondition", message: /is DELETED and has no/ });
		assert.equal((await test.client.getCheckpoint(checkpoint.uuid)).state, "DELETED");
		await assert.rejects(checkpoint.removeFiles([""]), { code: "invalid_argument", message: /empty string glob/ });
		await assert.rejects(checkpoint.removeFiles(["../*"]), { code: "invalid_argument", message: /cannot contain/ });
	});

	it("keeps its files while it is the checkpoint of a model version (F.36)", async () => {
		const checkpoint = await test.client.uploadCheckpoint(model());
		const registry = await test.client.createModel("keeps its files");
		await registry.registerVersion(checkpoint.uuid);
		const refused = {
			code: "failed_precondition",
			message: /registered to keeps its files \(model #\d+\), version 1\./,
		};
		await assert.rejects(checkpoint.delete(), refused);
		await assert.rejects(test.client.getCheckpoint(checkpoint.uuid).removeFiles(["*"]), refused);
		assert.equal(readFileSync(await storedFile(checkpoint.uuid, "model.onnx"), "utf8"), "weights");
	});

	it("is listed with all others, the newest first, also if no trial wrote it", async () => {
		const before = (await test.client.listCheckpoints()).length;
		const uuids: string[] = [];
		for (const text of ["older", "newer"]) {
			await clockToMove();
			uuids.unshift((await test.client.uploadCheckpoint(model(text))).uuid);
		}
		const all = await test.client.listCheckpoints();
		assert.equal(all.length, before + 2);
		assert.deepEqual(
			all.slice(0, 2).map(({ uuid }) => uuid),
			uuids,
		);
		assert.equal((await test.client.listCheckpoints({ maxResults: 1 }))[0]?.uuid, uuids[0]);
		const [oldest] = await test.client.listCheckpoints({ sortBy: "END_TIME", orderBy: "ASC" });
		assert.equal(oldest?.uuid, all.at(-1)?.uuid);
		const byTrial = async () => await test.client.listCheckpoints({ sortBy: "TRIAL_ID" });
		await assert.rejects(byTrial, { code: "invalid_argument", message: /TRIAL_ID/ });
	});

	it("is listed by its trial and experiment, the best first by the searcher's metric (F.37)", async () => {
		const experiment = await test.client.createExperiment({
			name: "listed",
			entrypoint: "true",
			searcher: { name: "single", metric: "accuracy", smaller_is_better: false },
		});
		const trial = await test.client.createTrial(experiment.id, { hparams: { lr: 0.5 } });
		const { trials, metrics, checkpoints } = test.connection;
		const { trialRun } = await trials.startTrialRun({ trialId: trial.id });
		const run = { trialId: trial.id, trialRunId: trialRun?.trialRunId ?? 0 };
		const accuracies = [0.5, undefined, 0.75, Number.NaN, 0.25];
		const uuids: string[] = [];
		for (const [i, accuracy] of accuracies.entries()) {
			const { checkpoint } = await checkpoints.createCheckpoint({ ...run, metadata: { steps_completed: i } });
			uuids.push(checkpoint?.uuid ?? "");
			const files = [{ path: "a", sizeBytes: 0n, sha256: "e".repeat(64) }];
			await checkpoints.completeCheckpoint({ checkpointUuid: uuids[i] ?? "", files });
			if (accuracy !== undefined) {
				const metricsJson = JSON.stringify({ accuracy: Number.isNaN(accuracy) ? "NaN" : accuracy, other: i });
				const report = { ...run, group: "validation", stepsCompleted: i, metricsJson };
				await metrics.reportMetrics({ clientId: uuids[i] ?? "", sequence: 1n, reports: [report] });
			}
		}
		const { checkpoint: writing } = await checkpoints.createCheckpoint(run);
		uuids.push(writing?.uuid ?? "");
		const numbers = (list: { uuid: string }[]) => list.map(({ uuid }) => uuids.indexOf(uuid));
		assert.deepEqual(numbers(await trial.listCheckpoints()), [2, 0, 4, 3, 1]);
		assert.deepEqual(numbers(await experiment.listCheckpoints()), [2, 0, 4, 3, 1]);
		assert.deepEqual(numbers(await trial.listCheckpoints({ maxResults: 2 })), [2, 0]);
		assert.deepEqual(numbers(await trial.listCheckpoints({ orderBy: "ASC" })), [4, 0, 2, 3, 1]);
		assert.deepEqual(
			numbers(await trial.listCheckpoints({ sortBy: "BATCH_NUMBER", orderBy: "DESC" })),
			[4, 3, 2, 1, 0],
		);
		assert.deepEqual(numbers(await trial.listCheckpoints({ sortBy: { metric: "other" } })), [4, 3, 2, 0, 1]);
		assert.deepEqual(numbers(await trial.listCheckpoints({ states: ["ACTIVE"] })), [5]);
		const pending = test.client.getTrial(trial.id).listCheckpoints({ maxResults: 1 });
		const [best] = await pending;
		assert.equal(best?.training?.trialId, trial.id);
		assert.equal(best.training.experimentId, experiment.id);
		assert.equal(best.training.experimentConfig.name, "listed");
		assert.deepEqual(best.training.hparams, { lr: 0.5 });
		assert.deepEqual(best.training.validationMetrics, { accuracy: 0.75, other: 2 });
		assert.match(best.taskId ?? "", new RegExp(`^${experiment.id}\\.[0-9a-f-]{36}$`));
		assert.equal(best.allocationId, `${best.taskId}.${run.trialRunId}`);
		for (const options of [
			{ sortBy: "x" },
			{ maxResults: 0 },
			{ orderBy: "up" },
			{ states: ["GONE"] },
			{ sortBy: 1 },
		]) {
			await assert.rejects(async () => await trial.listCheckpoints(options as object), { code: "invalid_argument" });
		}
	});

	it("throws data_loss when a stored file is corrupted, and leaves no file of that name", async () => {
		const checkpoint = await test.client.uploadCheckpoint(model());
		writeFileSync(await storedFile(checkpoint.uuid, "model.onnx"), "wEights");
		const target = tempDir();
		await assert.rejects(checkpoint.download(target), { code: "data_loss", message: /model\.onnx is corrupted/ });
		assert.equal(existsSync(join(target, "model.onnx")), false);
	});

	it("is downloaded without what was added to a stored file", async () => {
		const checkpoint = await test.client.uploadCheckpoint(model());
		appendFileSync(await storedFile(checkpoint.uuid, "model.onnx"), "!");
		const path = await checkpoint.download(tempDir());
		assert.equal(readFileSync(join(path, "model.onnx"), "utf8"), "weights");
	});

	it("throws failed_precondition when it has no files yet", async () => {
		const { checkpoint } = await test.connection.checkpoints.createCheckpoint({ requestId: "no files yet" });
		await assert.rejects(test.client.getCheckpoint(checkpoint?.uuid ?? "").download(tempDir()), {
			code: "failed_precondition",
			message: `checkpoint ${checkpoint?.uuid} is ACTIVE and has no files; only one that is COMPLETED or PARTIALLY_DELETED can be downloaded`,
		});
	});

	it("writes its metadata to a file", async () => {
		const checkpoint = await test.client.uploadCheckpoint(model(), { metadata: { epoch: 3 } });
		const path = join(tempDir(), "new/metadata.json");
		await checkpoint.writeMetadataFile(path);
		assert.deepEqual(JSON.parse(readFileSync(path, "utf8")), { epoch: 3 });
	});

	it("gives the metrics of every trial that used it, in both forms of the chain", async () => {
		const { uuid } = await test.client.uploadCheckpoint(model());
		const seeded = [await seedTrial(test.connection), await seedTrial(test.connection)];
		for (const { trial, report } of seeded) {
			await test.connection.trials.reportTrialSourceInfo({
				trialId: trial.id,
				type: TrialSourceInfoType.INFERENCE,
				source: { case: "checkpointUuid", value: uuid },
			});
			await report("inference", [{ accuracy: 0.5 }, { accuracy: 0.75 }]);
			await report("other", [{ x: 1 }]);
		}
		const inference = await test.client.getCheckpoint(uuid).getMetrics<{ accuracy: number }>("inference");
		assert.deepEqual(
			inference.map((m) => [m.trialId, m.stepsCompleted, m.metrics.accuracy]),
			seeded.flatMap(({ trial }) => [
				[trial.id, 1, 0.5],
				[trial.id, 2, 0.75],
			]),
		);
		const checkpoint = await test.client.getCheckpoint(uuid);
		const groups: string[] = [];
		for await (const { group } of checkpoint.getMetrics()) {
			groups.push(group);
		}
		assert.deepEqual(groups.sort(), ["inference", "inference", "inference", "inference", "other", "other"]);
	});

	it("updates itself", async () => {
		const { checkpoint } = await test.connection.checkpoints.createCheckpoint({ requestId: "to be completed" });
		const mine = await test.client.getCheckpoint(checkpoint?.uuid ?? "");
		assert.equal(mine.state, "ACTIVE");
		const files = [
			{ path: "a", sizeBytes: 0n, sha256: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
		];
		await test.connection.checkpoints.completeCheckpoint({ checkpointUuid: mine.uuid, files });
		await mine.reload();
		assert.equal(mine.state, "COMPLETED");
		assert.deepEqual(mine.resources, { a: 0 });
	});

	it("throws not_found for an unknown UUID from either form", async () => {
		const error = { name: "MillraceError", code: "not_found", message: new RegExp(unknown) };
		await assert.rejects(async () => await test.client.getCheckpoint(unknown), error);
		await assert.rejects(test.client.getCheckpoint(unknown).download(tempDir()), error);
		await assert.rejects(async () => await test.client.getCheckpoint(unknown).getMetrics("inference"), error);
	});

	it("throws invalid_argument for a metric group that has a dot", async () => {
		const checkpoint = await test.client.uploadCheckpoint(model());
		await assert.rejects(async () => await checkpoint.getMetrics("a.b"), {
			code: "invalid_argument",
			message: /the metric group .*must not/,
		});
	});

	it("is not made of a path where nothing is, an empty directory, or metadata that are not JSON", async () => {
		const count = async () =>
			(await test.connection.checkpoints.listCheckpoints({ pageSize: 1000 })).checkpoints.length;
		const countBefore = await count();
		const absent = join(tempDir(), "absent.onnx");
		await assert.rejects(test.client.uploadCheckpoint(absent), {
			code: "not_found",
			message: `there is no file or directory at ${absent}`,
		});
		await assert.rejects(test.client.uploadCheckpoint(tempDir()), {
			code: "invalid_argument",
			message: /holds no files/,
		});
		await assert.rejects(test.client.uploadCheckpoint(model(), { metadata: { loss: Number.NaN } }), {
			code: "invalid_argument",
			message: "metadata.loss is NaN; metadata must be JSON",
		});
		assert.equal(await count(), countBefore);
	});
});
