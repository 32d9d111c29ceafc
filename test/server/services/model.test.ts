import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, it } from "node:test";
import { isMillraceError } from "../../../src/errors.js";
import { CheckpointState } from "../../../src/gen/millrace/v1/checkpoint_pb.js";
import { CheckpointService } from "../../../src/gen/millrace/v1/checkpoint_service_pb.js";
import { ModelService } from "../../../src/gen/millrace/v1/model_service_pb.js";
import { startTestServer, type TestServer } from "../../support/start-test-server.js";

const rejectsWith = (code: Parameters<typeof isMillraceError>[1], message: RegExp) => (error: Error) => {
	assert.match(error.message, message);
	assert.ok(isMillraceError(error, code), `${error}`);
	return true;
};

const file = (path: string, digit = "0") => ({ path, sizeBytes: 3n, sha256: digit.repeat(64) });

async function completed(server: TestServer, ...paths: string[]): Promise<string> {
	const checkpoints = server.client(CheckpointService);
	const { checkpoint } = await checkpoints.createCheckpoint({});
	const checkpointUuid = checkpoint?.uuid ?? "";
	await checkpoints.completeCheckpoint({ checkpointUuid, files: paths.map((path) => file(path)) });
	return checkpointUuid;
}

describe("CheckpointService", { timeout: 60_000 }, () => {
	it("creates a checkpoint, completes it, and repeats its answers", async () => {
		const server = await startTestServer();
		const checkpoints = server.client(CheckpointService);
		const request = { requestId: randomUUID(), metadata: { steps_completed: 3 } };
		const created = await checkpoints.createCheckpoint(request);
		assert.equal(created.checkpoint?.state, CheckpointState.ACTIVE);
		assert.deepEqual(created.checkpoint?.metadata, { steps_completed: 3 });
		assert.equal(created.checkpoint?.storage?.backend.case, "directory");
		const complete = {
			checkpointUuid: created.checkpoint?.uuid.toUpperCase() ?? "",
			files: [file("b"), file("a/c", "1")],
		};
		const done = await checkpoints.completeCheckpoint(complete);
		assert.equal(done.checkpoint?.state, CheckpointState.COMPLETED);
		assert.deepEqual(
			done.checkpoint?.files.map(({ path }) => path),
			["a/c", "b"],
		);
		assert.deepEqual(await checkpoints.completeCheckpoint(complete), done);
		assert.deepEqual(await checkpoints.createCheckpoint(request), created);
		assert.deepEqual((await checkpoints.getCheckpoint(complete)).checkpoint, done.checkpoint);
		await assert.rejects(
			checkpoints.completeCheckpoint({ ...complete, files: [file("other")] }),
			rejectsWith("failed_precondition", /COMPLETED with other files/),
		);
	});

	it("reuses the oldest checkpoint with the same files, also one that was completed meanwhile", async () => {
		const server = await startTestServer();
		const checkpoints = server.client(CheckpointService);
		const reuse = { files: [file("model.onnx"), file("labels.txt")], reuse: true };
		const racing = await checkpoints.createCheckpoint(reuse);
		assert.equal(racing.checkpoint?.state, CheckpointState.ACTIVE);
		const first = await completed(server, "labels.txt", "model.onnx");
		await completed(server, "labels.txt", "model.onnx");
		assert.equal((await checkpoints.createCheckpoint(reuse)).checkpoint?.uuid, first);
		const checkpointUuid = racing.checkpoint?.uuid ?? "";
		for (let i = 0; i < 2; i++) {
			assert.equal((await checkpoints.completeCheckpoint({ checkpointUuid, ...reuse })).checkpoint?.uuid, first);
		}
		assert.equal((await checkpoints.getCheckpoint({ checkpointUuid })).checkpoint?.state, CheckpointState.DELETED);
		const other = await checkpoints.createCheckpoint({ ...reuse, files: [file("model.onnx")] });
		assert.equal(other.checkpoint?.state, CheckpointState.ACTIVE);
	});

	it("refuses malformed requests and unknown checkpoints", async () => {
		const checkpoints = (await startTestServer()).client(CheckpointService);
		const checkpointUuid = randomUUID();
		await assert.rejects(
			checkpoints.getCheckpoint({ checkpointUuid }),
			rejectsWith("not_found", /checkpoint '.*' not found/),
		);
		await assert.rejects(
			checkpoints.getCheckpoint({ checkpointUuid: "12" }),
			rejectsWith("invalid_argument", /checkpoint_uuid is "12"/),
		);
		const complete = (...files: ReturnType<typeof file>[]) => checkpoints.completeCheckpoint({ checkpointUuid, files });
		await assert.rejects(complete(), rejectsWith("invalid_argument", /at least one file/));
		await assert.rejects(complete(file("../x")), rejectsWith("invalid_argument", /files\[0\]\.path/));
		await assert.rejects(complete(file("a"), file("a")), rejectsWith("invalid_argument", /names "a" twice/));
		await assert.rejects(complete(file("a", "G")), rejectsWith("invalid_argument", /sha256/));
		await assert.rejects(
			complete({ ...file("a"), sizeBytes: -1n }),
			rejectsWith("invalid_argument", /size_bytes is -1/),
		);
		await assert.rejects(
			checkpoints.createCheckpoint({ requestId: "x".repeat(129) }),
			rejectsWith("invalid_argument", /request_id has 129 characters/),
		);
	});

	it("lists checkpoints, the newest first", async () => {
		const server = await startTestServer();
		const uuids = [await completed(server, "a"), await completed(server, "b"), await completed(server, "c")];
		const checkpoints = server.client(CheckpointService);
		const first = await checkpoints.listCheckpoints({ pageSize: 2 });
		const second = await checkpoints.listCheckpoints({ pageSize: 2, pageToken: first.nextPageToken });
		assert.deepEqual(
			[...first.checkpoints, ...second.checkpoints].map(({ uuid }) => uuid),
			uuids.reverse(),
		);
		assert.equal(second.nextPageToken, "");
	});
});

describe("ModelService", { timeout: 60_000 }, () => {
	it("creates a model and finds it by name and by id", async () => {
		const models = (await startTestServer()).client(ModelService);
		const request = {
			requestId: randomUUID(),
			name: "cnn",
			description: "d",
			labels: ["b", "a", "b"],
			metadata: { k: "NaN" },
		};
		const created = await models.createModel(request);
		assert.deepEqual(created.model?.labels, ["b", "a"]);
		assert.equal(created.model?.username, "determined");
		assert.deepEqual(await models.createModel(request), created);
		assert.deepEqual((await models.getModel({ model: "cnn" })).model, created.model);
		assert.deepEqual((await models.getModel({ model: "1" })).model, created.model);
		await assert.rejects(
			models.createModel({ name: "cnn" }),
			rejectsWith("already_exists", /avoid names equal to other models/),
		);
		assert.deepEqual((await models.createModel({ name: "cnn", existOk: true })).model, created.model);
		await assert.rejects(models.getModel({ model: "CNN" }), rejectsWith("not_found", /model "CNN" not found/));
	});

	it("refuses names that cannot be told from an id, or that cannot be read", async () => {
		const models = (await startTestServer()).client(ModelService);
		for (const [name, message] of [
			["", /model names cannot be blank/],
			["  ", /model names cannot be blank/],
			["a  b", /model names cannot have excessive spacing/],
			["a/b", /model names cannot have slashes/],
			["a\\b", /model names cannot have slashes/],
			["123", /model names cannot be only numbers/],
		] as const) {
			await assert.rejects(models.createModel({ name }), rejectsWith("invalid_argument", message));
		}
	});

	it("numbers versions from 1, the newest first, each with its checkpoint as it is now", async () => {
		const server = await startTestServer();
		const models = server.client(ModelService);
		await models.createModel({ name: "cnn" });
		assert.equal((await models.getModelVersion({ model: "cnn" })).modelVersion, undefined);
		const checkpointUuid = await completed(server, "model.onnx");
		const request = { requestId: randomUUID(), model: "cnn", checkpointUuid, name: "first", labels: ["x"] };
		const first = await models.registerModelVersion(request);
		assert.deepEqual(await models.registerModelVersion(request), first);
		await models.registerModelVersion({ model: "1", checkpointUuid });
		assert.equal((await models.getModelVersion({ model: "cnn" })).modelVersion?.version, 2);
		const { modelVersion } = await models.getModelVersion({ model: "cnn", version: 1 });
		assert.deepEqual(modelVersion, first.modelVersion);
		assert.equal(modelVersion?.checkpoint?.files[0]?.path, "model.onnx");
		const page = await models.listModelVersions({ model: "cnn", pageSize: 1 });
		assert.deepEqual(
			page.modelVersions.map(({ version }) => version),
			[2],
		);
		const rest = await models.listModelVersions({ model: "cnn", pageToken: page.nextPageToken });
		assert.deepEqual(
			rest.modelVersions.map(({ version }) => version),
			[1],
		);
		assert.equal((await models.getModel({ model: "cnn" })).model?.versionCount, 2);
		await assert.rejects(
			models.getModelVersion({ model: "cnn", version: 3 }),
			rejectsWith("not_found", /version 3 for model "cnn" not found/),
		);
	});

	it("registers only checkpoints that exist and are COMPLETED", async () => {
		const server = await startTestServer();
		const models = server.client(ModelService);
		await models.createModel({ name: "cnn" });
		const { checkpoint } = await server.client(CheckpointService).createCheckpoint({});
		await assert.rejects(
			models.registerModelVersion({ model: "cnn", checkpointUuid: checkpoint?.uuid ?? "" }),
			rejectsWith(
				"failed_precondition",
				/is in ACTIVE state\. checkpoints for model versions must be in a COMPLETED state/,
			),
		);
		await assert.rejects(
			models.registerModelVersion({ model: "cnn", checkpointUuid: randomUUID() }),
			rejectsWith("not_found", /checkpoint/),
		);
		await assert.rejects(
			models.registerModelVersion({ model: "none", checkpointUuid: randomUUID() }),
			rejectsWith("not_found", /model "none" not found/),
		);
	});
});
