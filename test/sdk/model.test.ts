import assert from "node:assert/strict";
import { before, describe, it } from "node:test";
import { TrialSourceInfoType } from "../../src/gen/millrace/v1/trial_pb.js";
import type { Checkpoint } from "../../src/sdk/index.js";
import { writeTree } from "../storage/storage-manager-suite.js";
import { seedTrial } from "../support/seed-trial.js";
import { tempDir } from "../support/temp-dir.js";
import { useTestClient } from "../support/use-test-client.js";

describe("Model", { timeout: 60_000 }, () => {
	const test = useTestClient();
	let checkpoint: Checkpoint;
	before(async () => {
		checkpoint = await test.client.uploadCheckpoint(writeTree(tempDir(), { "model.onnx": "weights" }));
	});

	it("is created, and found by its name and its id", async () => {
		const created = await test.client.createModel("mnist cnn", {
			description: "digits",
			metadata: { paper: { year: 1998 } },
			labels: ["b", "a", "b"],
		});
		const model = await test.client.getModel("mnist cnn");
		assert.deepEqual({ ...model }, { ...created });
		assert.deepEqual({ ...(await test.client.getModel(created.modelId)) }, { ...created });
		assert.equal(model.description, "digits");
		assert.deepEqual(model.metadata, { paper: { year: 1998 } });
		assert.deepEqual(model.labels, ["b", "a"]);
		assert.equal(model.archived, false);
		assert.ok(model.username.length > 0);
		assert.ok(Math.abs(model.creationTime.getTime() - Date.now()) < 30_000);
	});

	it("throws already_exists for a name that is taken, and returns that model with existOk", async () => {
		const model = await test.client.createModel("taken", { description: "first" });
		await assert.rejects(test.client.createModel("taken"), { code: "already_exists", message: /taken.*existOk: true/ });
		const same = await test.client.createModel("taken", { description: "second", existOk: true });
		assert.deepEqual([same.modelId, same.description], [model.modelId, "first"]);
	});

	it("throws invalid_argument for a name that would be read as an id", async () => {
		await assert.rejects(test.client.createModel("42"), { code: "invalid_argument", message: /42/ });
	});

	it("is listed in the order of names", async () => {
		await test.client.createModel("zebra");
		await test.client.createModel("aardvark");
		const names = (await test.client.listModels()).map((model) => model.name);
		assert.deepEqual(names, names.toSorted());
		assert.ok(names.includes("zebra") && names.includes("aardvark"));
	});

	it("registers versions, and gives them by number, the newest, and all", async () => {
		const model = await test.client.createModel("versioned");
		const first = await model.registerVersion(checkpoint.uuid, {
			name: "one",
			comment: "a comment",
			notes: "# Notes",
			metadata: { lr: 0.5 },
			labels: ["x"],
		});
		const second = await test.client.getModel("versioned").registerVersion(checkpoint.uuid);
		assert.deepEqual([first.modelVersion, second.modelVersion], [1, 2]);
		const found = await test.client.getModel("versioned").getVersion(1);
		assert.deepEqual(
			[found.modelName, found.modelId, found.name, found.comment, found.notes, found.metadata, found.labels],
			["versioned", model.modelId, "one", "a comment", "# Notes", { lr: 0.5 }, ["x"]],
		);
		assert.equal(found.checkpoint.uuid, checkpoint.uuid);
		assert.deepEqual({ ...found.checkpoint }, { ...checkpoint });
		assert.equal((await model.getVersion())?.modelVersion, 2);
		assert.deepEqual(
			(await test.client.getModel("versioned").listVersions()).map((version) => version.modelVersion),
			[2, 1],
		);
	});

	it("gives null for the newest version where there is none, and not_found in a chain", async () => {
		const model = await test.client.createModel("bare");
		assert.equal(await model.getVersion(), null);
		await assert.rejects(async () => await test.client.getModel("bare").getVersion().getMetrics(), {
			code: "not_found",
			message: "model bare has no versions; register one with registerVersion",
		});
	});

	it("throws not_found for what does not exist, from either form", async () => {
		const notFound = { name: "MillraceError", code: "not_found" };
		const model = await test.client.createModel("lonely");
		await assert.rejects(async () => await test.client.getModel("absent"), { ...notFound, message: /absent/ });
		await assert.rejects(async () => await test.client.getModel("absent").getVersion(1).getMetrics(), notFound);
		await assert.rejects(async () => await test.client.getModel("absent").listVersions(), notFound);
		await assert.rejects(async () => await model.getVersion(7), { ...notFound, message: /7/ });
		await assert.rejects(async () => await model.getVersion(7).getMetrics(), notFound);
		await assert.rejects(model.registerVersion("6b8f1f0e-0000-4000-8000-000000000000"), notFound);
	});

	it("throws invalid_argument for a version that is no whole number from 1", async () => {
		const model = await test.client.createModel("strict");
		for (const version of [0, -1, 1.5, Number.NaN]) {
			await assert.rejects(async () => await model.getVersion(version), {
				code: "invalid_argument",
				message: `the model version is ${version}; it must be a whole number from 1`,
			});
		}
	});

	it("throws failed_precondition for a checkpoint that is not complete", async () => {
		const model = await test.client.createModel("early");
		const active = (await test.connection.checkpoints.createCheckpoint({ requestId: "active" })).checkpoint;
		await assert.rejects(model.registerVersion(active?.uuid ?? ""), { code: "failed_precondition" });
		assert.deepEqual(await model.listVersions(), []);
	});

	it("updates itself", async () => {
		const model = await test.client.createModel("reloaded");
		const before = model.lastUpdatedTime;
		await model.registerVersion(checkpoint.uuid);
		await model.reload();
		assert.ok(model.lastUpdatedTime >= before);
		const version = await model.getVersion(1);
		await version.reload();
		assert.equal(version.checkpoint.uuid, checkpoint.uuid);
	});
});

describe("ModelVersion", { timeout: 60_000 }, () => {
	const test = useTestClient();

	it("gives the metrics of the trials that used it, with no await in the middle", async () => {
		const { client, connection } = test;
		const { uuid } = await client.uploadCheckpoint(writeTree(tempDir(), { "model.onnx": "weights" }));
		const model = await client.createModel("m");
		const used = await model.registerVersion(uuid);
		const unused = await model.registerVersion(uuid);
		const { trial, report } = await seedTrial(connection);
		await report("inference", [{ accuracy: 0.96, loss: Number.NaN }]);
		await connection.trials.reportTrialSourceInfo({
			trialId: trial.id,
			type: TrialSourceInfoType.INFERENCE,
			source: { case: "modelVersion", value: { model: "m", version: used.modelVersion } },
		});
		const metrics = await client.getModel("m").getVersion(1).getMetrics("inference");
		assert.equal(metrics.length, 1);
		assert.deepEqual(metrics[0]?.metrics, { accuracy: 0.96, loss: Number.NaN });
		assert.deepEqual(await client.getModel("m").getVersion(1).iterMetrics("inference"), metrics);
		assert.deepEqual(await used.getMetrics(), metrics);
		assert.deepEqual(await used.getMetrics("validation"), []);
		assert.deepEqual(await unused.getMetrics("inference"), []);
		assert.deepEqual(await client.getCheckpoint(uuid).getMetrics("inference"), metrics);
	});
});
