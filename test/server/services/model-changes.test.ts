import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, it } from "node:test";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { OrderBy } from "../../../src/gen/millrace/v1/list_pb.js";
import { ModelService, type UpdateModelRequestSchema } from "../../../src/gen/millrace/v1/model_service_pb.js";
import { clockToMove } from "../../support/clock-to-move.js";
import { errorWith } from "../../support/error-with.js";
import { startTestServer } from "../../support/start-test-server.js";
import { storeCheckpoint } from "../../support/store-checkpoint.js";

type Update = MessageInitShape<typeof UpdateModelRequestSchema>;

describe("ModelService.updateModel", { timeout: 60_000 }, () => {
	it("changes what the request names, and leaves the rest", async () => {
		const models = (await startTestServer()).client(ModelService);
		const { model: created } = await models.createModel({ name: "cnn", description: "d", metadata: { a: 1, b: 2 } });
		const update = async (request: Update) => (await models.updateModel({ model: "1", ...request })).model;
		assert.equal((await update({ name: "rnn" }))?.name, "rnn");
		assert.equal((await update({ description: "e", notes: "# N" }))?.notes, "# N");
		assert.deepEqual((await update({ labels: { labels: ["b", "a,c", "b"] } }))?.labels, ["b", "a,c"]);
		assert.deepEqual((await update({ metadata: { remove: ["a"], set: { c: [3] } } }))?.metadata, { b: 2, c: [3] });
		const { model } = await models.getModel({ model: "rnn" });
		assert.ok(created !== undefined && model !== undefined);
		assert.deepEqual(model, {
			...created,
			...{ name: "rnn", description: "e", notes: "# N", labels: ["b", "a,c"], metadata: { b: 2, c: [3] } },
			updateTime: model.updateTime,
		});
		const cleared = await update({ description: "", labels: {}, metadata: { clear: true } });
		assert.deepEqual([cleared?.description, cleared?.labels, cleared?.metadata], ["", [], {}]);
	});

	it("refreshes the time of the last update, but writes nothing where nothing changes", async () => {
		const models = (await startTestServer()).client(ModelService);
		const { model: created } = await models.createModel({
			name: "cnn",
			labels: ["x"],
			metadata: { a: { b: 1 }, c: 2 },
		});
		const same = [
			{},
			{ name: "cnn", description: "", notes: "" },
			{ labels: { labels: ["x", "x"] } },
			{ metadata: { remove: ["absent"], set: { a: { b: 1 } } } },
			{ metadata: { clear: true, set: { c: 2, a: { b: 1 } } } },
		];
		for (const request of same) {
			assert.deepEqual((await models.updateModel({ model: "cnn", ...request })).model, created);
		}
		await clockToMove();
		const { model: changed } = await models.updateModel({ model: "cnn", description: "d" });
		assert.notDeepEqual(changed?.updateTime, created?.updateTime);
		assert.deepEqual((await models.getModel({ model: "cnn" })).model, changed);
	});

	it("says what it refuses by codes of their own, not by internal errors (F.34)", async () => {
		const server = await startTestServer();
		const models = server.client(ModelService);
		await models.createModel({ name: "taken" });
		await models.createModel({ name: "cnn" });
		const checkpointUuid = await storeCheckpoint(server);
		await models.registerModelVersion({ model: "cnn", checkpointUuid });
		await assert.rejects(models.createModel({ name: "taken" }), errorWith("already_exists", /avoid names equal/));
		await assert.rejects(
			models.updateModel({ model: "cnn", name: "taken", description: "lost" }),
			errorWith("already_exists", /avoid names equal/),
		);
		assert.equal((await models.getModel({ model: "cnn" })).model?.description, "");
		await models.archiveModel({ model: "cnn" });
		const archived = errorWith("failed_precondition", /model "cnn" is archived and cannot .*; unarchive it first/);
		await assert.rejects(models.updateModel({ model: "cnn" }), archived);
		await assert.rejects(models.registerModelVersion({ model: "cnn", checkpointUuid }), archived);
		await assert.rejects(models.updateModelVersion({ model: "cnn", version: 1, name: "n" }), archived);
		for (const model of ["none", "77"]) {
			const missing = errorWith("not_found", new RegExp(`model "${model}" not found`));
			await assert.rejects(models.updateModel({ model }), missing);
			await assert.rejects(models.archiveModel({ model }), missing);
			await assert.rejects(models.unarchiveModel({ model }), missing);
			await assert.rejects(models.deleteModel({ model }), missing);
			await assert.rejects(models.deleteModelVersion({ model, version: 1 }), missing);
		}
	});

	it("refuses what cannot be stored, naming the field", async () => {
		const models = (await startTestServer()).client(ModelService);
		await models.createModel({ name: "cnn" });
		const refused = async (request: Update, message: RegExp) =>
			assert.rejects(models.updateModel({ model: "cnn", ...request }), errorWith("invalid_argument", message));
		await refused({ model: "" }, /model is empty/);
		await refused({ requestId: "x".repeat(129) }, /request_id has 129/);
		await refused({ name: "12" }, /name is "12"; model names cannot be only numbers/);
		await refused({ name: "a\0" }, /name has a NUL/);
		await refused({ name: "x".repeat(1001) }, /name has 1001/);
		await refused({ description: "x".repeat(10_001) }, /description has 10001/);
		await refused({ notes: "\0" }, /notes has a NUL/);
		await refused({ labels: { labels: ["a", ""] } }, /labels\[1\] is empty/);
		await refused({ metadata: { set: { k: Number.NaN } } }, /metadata\.set\.k is or holds .* NaN/);
		await refused({ metadata: { set: { k: "x".repeat(2 ** 20) } } }, /metadata\.set would have \d+ bytes/);
		const half = "x".repeat(600_000);
		await models.updateModel({ model: "cnn", metadata: { set: { a: half } } });
		await refused({ metadata: { set: { b: half } } }, /metadata would have \d+ bytes/);
	});

	it("keeps keys and texts of any characters as they are", async () => {
		const models = (await startTestServer()).client(ModelService);
		const metadata = { "a\0b": "\0", "": "", constructor: "c", 𝔘: { "\u2028": ["\ufffd"] } };
		const created = await models.createModel({ name: "ünïcode \u{1f600}", metadata, labels: ["a,b", " "] });
		assert.deepEqual(created.model?.metadata, metadata);
		const { model } = await models.updateModel({ model: "1", metadata: { remove: ["", "constructor"] } });
		assert.deepEqual(model?.metadata, { "a\0b": "\0", 𝔘: { "\u2028": ["\ufffd"] } });
	});
});

describe("ModelService.archiveModel", { timeout: 60_000 }, () => {
	it("archives and unarchives, each as often as asked, and changes the time only once", async () => {
		const models = (await startTestServer()).client(ModelService);
		await models.createModel({ name: "cnn" });
		const { model: archived } = await models.archiveModel({ model: "cnn" });
		assert.equal(archived?.archived, true);
		assert.deepEqual((await models.archiveModel({ model: "1" })).model, archived);
		const { model: again } = await models.unarchiveModel({ model: "cnn" });
		assert.equal(again?.archived, false);
		assert.deepEqual((await models.unarchiveModel({ model: "cnn" })).model, again);
		assert.equal((await models.updateModel({ model: "cnn", notes: "n" })).model?.notes, "n");
	});
});

describe("ModelService.deleteModelVersion", { timeout: 60_000 }, () => {
	it("never gives a version's number again, also not under many at once (F.25)", async () => {
		const server = await startTestServer();
		const models = server.client(ModelService);
		const checkpointUuid = await storeCheckpoint(server);
		await models.createModel({ name: "cnn" });
		const register = async () => {
			const { modelVersion } = await models.registerModelVersion({ model: "cnn", checkpointUuid });
			return modelVersion?.version ?? 0;
		};
		assert.deepEqual([await register(), await register()], [1, 2]);
		await models.deleteModelVersion({ model: "cnn", version: 2 });
		assert.equal(await register(), 3);
		for (const version of [1, 3]) {
			await models.deleteModelVersion({ model: "cnn", version });
		}
		const numbers = await Promise.all(Array.from({ length: 20 }, register));
		assert.deepEqual(
			numbers.toSorted((a, b) => a - b),
			Array.from({ length: 20 }, (_, i) => i + 4),
		);
		assert.equal((await models.getModel({ model: "cnn" })).model?.versionCount, 20);
		await assert.rejects(models.deleteModelVersion({ model: "cnn", version: 3 }), errorWith("not_found", /version 3/));
		await assert.rejects(models.deleteModelVersion({ model: "cnn" }), errorWith("invalid_argument", /version is 0/));
	});
});

describe("ModelService.updateModelVersion", { timeout: 60_000 }, () => {
	it("changes what the request names, keeps the order of labels, and the checkpoint", async () => {
		const server = await startTestServer();
		const models = server.client(ModelService);
		const checkpointUuid = await storeCheckpoint(server);
		await models.createModel({ name: "cnn" });
		const { modelVersion } = await models.registerModelVersion({ model: "cnn", checkpointUuid, metadata: { a: 1 } });
		const reference = { model: "cnn", version: 1 };
		assert.deepEqual((await models.updateModelVersion(reference)).modelVersion, modelVersion);
		const { modelVersion: changed } = await models.updateModelVersion({
			...reference,
			...{ name: "n", comment: "c", notes: "# N" },
			metadata: { set: { b: 2 } },
			labels: { labels: ["z", "a,b", "y"] },
		});
		assert.ok(changed !== undefined && modelVersion !== undefined);
		assert.deepEqual(changed, {
			...modelVersion,
			...{ name: "n", comment: "c", notes: "# N", metadata: { a: 1, b: 2 }, labels: ["z", "a,b", "y"] },
			updateTime: changed.updateTime,
		});
		assert.deepEqual((await models.getModelVersion(reference)).modelVersion, changed);
		await assert.rejects(
			models.updateModelVersion({ model: "cnn", version: 2 }),
			errorWith("not_found", /version 2 for model "cnn" not found/),
		);
		await assert.rejects(
			models.updateModelVersion({ ...reference, metadata: { set: { x: Number.NEGATIVE_INFINITY } } }),
			errorWith("invalid_argument", /metadata\.set\.x/),
		);
	});
});

describe("ModelService.listModelVersions", { timeout: 60_000 }, () => {
	it("lists by number in both directions, the newest first unless asked, in pages", async () => {
		const server = await startTestServer();
		const models = server.client(ModelService);
		const checkpointUuid = await storeCheckpoint(server);
		await models.createModel({ name: "cnn" });
		await models.createModel({ name: "other" });
		for (const model of ["cnn", "other", "cnn", "cnn", "cnn"]) {
			await models.registerModelVersion({ model, checkpointUuid });
		}
		await models.deleteModelVersion({ model: "cnn", version: 2 });
		const numbers = async (orderBy: OrderBy) => {
			const found: number[] = [];
			let pageToken = "";
			do {
				const answer = await models.listModelVersions({ model: "cnn", orderBy, pageSize: 2, pageToken });
				found.push(...answer.modelVersions.map(({ version }) => version));
				pageToken = answer.nextPageToken;
			} while (pageToken !== "");
			return found;
		};
		assert.deepEqual(await numbers(OrderBy.UNSPECIFIED), [4, 3, 1]);
		assert.deepEqual(await numbers(OrderBy.DESC), [4, 3, 1]);
		assert.deepEqual(await numbers(OrderBy.ASC), [1, 3, 4]);
		const { nextPageToken: pageToken } = await models.listModelVersions({ model: "cnn", pageSize: 1 });
		await assert.rejects(
			models.listModelVersions({ model: "other", pageToken }),
			errorWith("invalid_argument", /page_token/),
		);
	});
});

describe("ModelService.deleteModel", { timeout: 60_000 }, () => {
	it("deletes the versions too, also of an archived model, and frees the name but not the id", async () => {
		const server = await startTestServer();
		const models = server.client(ModelService);
		const checkpointUuid = await storeCheckpoint(server);
		await models.createModel({ name: "cnn" });
		await models.registerModelVersion({ model: "cnn", checkpointUuid });
		await models.archiveModel({ model: "cnn" });
		const request = { requestId: randomUUID(), model: "cnn" };
		await models.deleteModel(request);
		await models.deleteModel(request);
		await assert.rejects(models.getModel({ model: "1" }), errorWith("not_found", /model "1" not found/));
		const { model } = await models.createModel({ name: "cnn" });
		assert.deepEqual([model?.id, model?.versionCount], [2, 0]);
		assert.equal((await models.getModelVersion({ model: "cnn" })).modelVersion, undefined);
	});
});
