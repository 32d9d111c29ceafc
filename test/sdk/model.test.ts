import assert from "node:assert/strict";
import { before, describe, it } from "node:test";
import { TrialSourceInfoType } from "../../src/gen/millrace/v1/trial_pb.js";
import type { Checkpoint, ListModelsOptions, ListVersionsOptions } from "../../src/sdk/index.js";
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

	it("are listed by each key, and filtered by all", async () => {
		const { client } = test;
		const all = [
			await client.createModel("list c", { description: "one", labels: ["l,1"] }),
			await client.createModel("list a", { description: "two", labels: ["l,1", "l2"] }),
			await client.createModel("list b", { description: "TWO_", labels: ["l2"] }),
		];
		await all[1]?.registerVersion(checkpoint.uuid);
		await all[2]?.archive();
		const names = async (options: ListModelsOptions) =>
			(await client.listModels({ name: "LIST ", ...options })).map((model) => model.name.at(-1)).join("");
		assert.equal(await names({}), "abc");
		assert.equal(await names({ orderBy: "DESC" }), "cba");
		assert.equal(await names({ sortBy: "DESCRIPTION" }), "bca");
		assert.equal(await names({ sortBy: "CREATION_TIME" }), "cab");
		assert.equal(await names({ sortBy: "LAST_UPDATED_TIME", orderBy: "DESC" }), "bac");
		assert.equal(await names({ sortBy: "NUM_VERSIONS", orderBy: "DESC" }), "abc");
		assert.equal(await names({ description: "two" }), "ab");
		assert.equal(await names({ description: "o_" }), "b");
		assert.equal(await names({ modelId: all[0]?.modelId ?? 0 }), "c");
		assert.equal(await names({ labels: ["l,1"] }), "ac");
		assert.equal(await names({ archived: true }), "b");
		assert.equal(await names({ archived: false, users: ["determined"] }), "ac");
		assert.equal(await names({ workspaceNames: ["Uncategorized"], workspaceIds: [1] }), "abc");
		for (const none of [{ users: ["nobody"] }, { workspaceNames: ["none"] }, { workspaceIds: [2] }]) {
			assert.equal(await names(none), "");
		}
		assert.equal(all[0]?.workspaceId, 1);
		const labels = await client.getModelLabels();
		assert.ok(labels.indexOf("l,1") >= 0 && labels.indexOf("l,1") < labels.indexOf("l2"), `${labels}`);
		assert.equal(new Set(labels).size, labels.length);
	});

	it("throws invalid_argument for options of a list that are none, when it is read", async () => {
		for (const [options, message] of [
			["NAME", /options of listModels must be an object: \{ sortBy: "NAME" \}/],
			[{ sortBy: "name" }, /sortBy is "name"; it must be one of "NAME", .*"NUM_VERSIONS"$/],
			[{ orderBy: "UNSPECIFIED" }, /orderBy is "UNSPECIFIED"; it must be one of "ASC", "DESC"/],
			[{ name: 7 }, /name is 7; it must be a string/],
			[{ labels: "x" }, /labels is "x"; it must be an array of strings/],
			[{ archived: "yes" }, /archived is "yes"/],
			[{ modelId: 0 }, /modelId is 0/],
			[{ workspaceIds: ["1"] }, /workspaceIds\[0\] is "1"/],
		] as const) {
			const list = test.client.listModels(options as ListModelsOptions);
			await assert.rejects(async () => await list, { code: "invalid_argument", message });
		}
	});

	it("are changed, with no await in the middle", async () => {
		const { client } = test;
		await client.createModel("changed", { metadata: { a: 1, b: 2 }, labels: ["x"] });
		await client.getModel("changed").addMetadata({ b: [3], c: null });
		await client.getModel("changed").removeMetadata(["a", "absent"]);
		await client.getModel("changed").setLabels(["z", "a,b", "z"]);
		await client.getModel("changed").setDescription("new");
		await client.getModel("changed").setNotes("# Notes");
		const model = await client.getModel("changed");
		assert.deepEqual(
			[model.metadata, model.labels, model.description, model.notes],
			[{ b: [3], c: null }, ["z", "a,b"], "new", "# Notes"],
		);
		await model.setName("renamed");
		assert.equal(model.name, "renamed");
		assert.deepEqual({ ...(await client.getModel("renamed")) }, { ...model });
		await assert.rejects(async () => await client.getModel("changed"), { code: "not_found" });
		await assert.rejects(model.setName("mnist cnn"), { code: "already_exists" });
	});

	it("refuse metadata and texts that would not arrive as they are", async () => {
		const model = await test.client.createModel("exact");
		for (const [metadata, message] of [
			[{ a: Number.NaN }, /metadata\.a is NaN/],
			[{ a: ["\ud800"] }, /metadata\.a\[0\] has half of a surrogate pair/],
			[{ "\udc00": 1 }, /has half of a surrogate pair/],
			[JSON.parse('{"__proto__":1}'), /__proto__/],
			[[], /metadata is an Array/],
		] as const) {
			await assert.rejects(model.addMetadata(metadata), { code: "invalid_argument", message });
		}
		await assert.rejects(model.setName("\ud800"), { code: "invalid_argument", message: /name has half/ });
		await assert.rejects(model.setLabels(["a", ""]), { code: "invalid_argument", message: /labels\[1\] is empty/ });
		const labels = "a" as unknown as string[];
		await assert.rejects(model.setLabels(labels), { code: "invalid_argument", message: /labels is "a"; it must be/ });
		const keys = [7] as unknown as string[];
		await assert.rejects(model.removeMetadata(keys), { code: "invalid_argument", message: /keys\[0\] is 7/ });
	});

	it("are archived and unarchived, and read-only between", async () => {
		const model = await test.client.createModel("archived");
		await model.archive();
		assert.equal(model.archived, true);
		const refused = { code: "failed_precondition", message: /model "archived" is archived/ };
		await assert.rejects(model.addMetadata({ a: 1 }), refused);
		await assert.rejects(model.registerVersion(checkpoint.uuid), refused);
		await test.client.getModel("archived").unarchive();
		await model.reload();
		assert.equal(model.archived, false);
		await model.addMetadata({ a: 1 });
		assert.deepEqual(model.metadata, { a: 1 });
	});

	it("are deleted with their versions, and their checkpoints stay", async () => {
		const model = await test.client.createModel("deleted");
		const version = await model.registerVersion(checkpoint.uuid);
		await model.delete();
		await assert.rejects(model.reload(), { code: "not_found" });
		await assert.rejects(version.reload(), { code: "not_found" });
		assert.equal((await test.client.getCheckpoint(checkpoint.uuid)).state, "COMPLETED");
		await assert.rejects(model.delete(), { code: "not_found" });
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
		const numbers = async (options?: ListVersionsOptions) =>
			(await test.client.getModel("versioned").listVersions(options)).map((version) => version.modelVersion);
		assert.deepEqual(await numbers(), [2, 1]);
		assert.deepEqual(await numbers({ orderBy: "ASC" }), [1, 2]);
		assert.deepEqual(await numbers({ orderBy: "DESC" }), [2, 1]);
		assert.equal((await test.client.getModel("versioned")).versionCount, 2);
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

	it("is changed and deleted, with no await in the middle, and its number stays its own (F.25)", async () => {
		const { client } = test;
		const { uuid } = await client.uploadCheckpoint(writeTree(tempDir(), { "model.onnx": "weights" }));
		const model = await client.createModel("changing");
		const version = await model.registerVersion(uuid, { metadata: { a: 1 } });
		await client.getModel("changing").getVersion(1).setName("first");
		await client.getModel("changing").getVersion().setNotes("# Notes");
		await client.getModel("changing").getVersion(1).addMetadata({ b: 2 });
		await client.getModel("changing").getVersion(1).removeMetadata(["a"]);
		await client.getModel("changing").getVersion(1).setLabels(["z", "a,b"]);
		await version.reload();
		assert.deepEqual(
			[version.name, version.notes, version.metadata, version.labels, version.checkpoint.uuid],
			["first", "# Notes", { b: 2 }, ["z", "a,b"], uuid],
		);
		await version.setName("again");
		assert.equal(version.name, "again");
		await client.getModel("changing").getVersion(1).delete();
		await assert.rejects(version.reload(), { code: "not_found" });
		assert.equal(await model.getVersion(), null);
		assert.equal((await model.registerVersion(uuid)).modelVersion, 2);
	});

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
