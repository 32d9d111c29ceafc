import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { OrderBy } from "../../../src/gen/millrace/v1/list_pb.js";
import { ModelSortBy } from "../../../src/gen/millrace/v1/model_pb.js";
import { type ListModelsRequestSchema, ModelService } from "../../../src/gen/millrace/v1/model_service_pb.js";
import { clockToMove } from "../../support/clock-to-move.js";
import { errorWith } from "../../support/error-with.js";
import { startTestServer } from "../../support/start-test-server.js";
import { storeCheckpoint } from "../../support/store-checkpoint.js";

type ListRequest = MessageInitShape<typeof ListModelsRequestSchema>;

describe("ModelService.listModels", { timeout: 120_000 }, async () => {
	const server = await startTestServer();
	const models = server.client(ModelService);
	const checkpointUuid = await storeCheckpoint(server);
	// Name, description, labels, number of versions.
	const made = [
		["c", "Digits", ["vision", "a,b"], 0],
		["a", "digits", ["vision"], 2],
		["b", "100% of it", ["text"], 1],
		["É", "under_score", [], 2],
		["aa", "digits", ["a", "b"], 0],
	] as const;
	for (const [name, description, labels, versions] of made) {
		await models.createModel({ name, description, labels: [...labels] });
		for (let i = 0; i < versions; i++) {
			await models.registerModelVersion({ model: name, checkpointUuid });
		}
	}
	await clockToMove();
	await models.archiveModel({ model: "b" });
	await clockToMove();
	await models.updateModel({ model: "c", notes: "the last one" });

	async function names(request: ListRequest, pageSize = 2): Promise<string> {
		const found: string[] = [];
		let pageToken = "";
		do {
			const answer = await models.listModels({ ...request, pageSize, pageToken });
			found.push(...answer.models.map(({ name }) => name));
			pageToken = answer.nextPageToken;
		} while (pageToken !== "");
		return found.join(" ");
	}

	const orders: [sortBy: ModelSortBy, ascending: string][] = [
		[ModelSortBy.UNSPECIFIED, "c a b É aa"],
		[ModelSortBy.NAME, "a aa b c É"],
		[ModelSortBy.DESCRIPTION, "b c a aa É"],
		[ModelSortBy.CREATION_TIME, "c a b É aa"],
		[ModelSortBy.LAST_UPDATED_TIME, "a É aa b c"],
		[ModelSortBy.NUM_VERSIONS, "c aa b a É"],
	];
	for (const [sortBy, ascending] of orders) {
		it(`sorts by ${ModelSortBy[sortBy]}, equals by id, in both directions`, async () => {
			for (const pageSize of [1, 2, 50]) {
				assert.equal(await names({ sortBy }, pageSize), ascending);
				assert.equal(await names({ sortBy, orderBy: OrderBy.ASC }, pageSize), ascending);
				const descending = ascending.split(" ").toReversed().join(" ");
				assert.equal(await names({ sortBy, orderBy: OrderBy.DESC }, pageSize), descending);
			}
		});
	}

	it("filters by each field, and by all together", async () => {
		assert.equal(await names({ name: "A" }), "a aa");
		assert.equal(await names({ name: "é" }), "É");
		assert.equal(await names({ description: "DIGIT" }), "c a aa");
		assert.equal(await names({ modelId: 3 }), "b");
		assert.equal(await names({ modelId: 3, sortBy: ModelSortBy.NAME }), "b");
		assert.equal(await names({ archived: true }), "b");
		assert.equal(await names({ archived: false }), "c a É aa");
		assert.equal(await names({ labels: ["vision", "text"] }), "c a b");
		assert.equal(await names({ usernames: ["determined", "x"] }), "c a b É aa");
		assert.equal(await names({ workspaceNames: ["Uncategorized"], workspaceIds: [7, 1] }), "c a b É aa");
		assert.equal(await names({ name: "a", labels: ["vision"], archived: false, description: "digits" }), "a");
	});

	it("finds nothing for what there is not", async () => {
		for (const none of [
			{ modelId: 99 },
			{ labels: ["visio"] },
			{ usernames: ["nobody"] },
			{ workspaceNames: ["uncategorized"] },
			{ workspaceIds: [2] },
			{ workspaceNames: ["Uncategorized"], workspaceIds: [2] },
		]) {
			assert.equal(await names(none), "", JSON.stringify(none));
		}
	});

	it("takes the wildcards of SQL and of file names for what they are (F.40)", async () => {
		assert.equal(await names({ description: "0%" }), "b");
		assert.equal(await names({ description: "r_s" }), "É");
		for (const description of ["d%s", "d_gits", "d*s", "d?gits", "[dD]igits"]) {
			assert.equal(await names({ description }), "", description);
		}
	});

	it("finds a label with a comma as one (F.38)", async () => {
		assert.equal(await names({ labels: ["a,b"] }), "c");
		assert.equal(await names({ labels: ["a"] }), "aa");
		assert.deepEqual((await models.getModel({ model: "c" })).model?.labels, ["vision", "a,b"]);
	});

	it("refuses what it does not know, naming the field", async () => {
		const refused = async (request: ListRequest, message: RegExp) =>
			assert.rejects(models.listModels(request), errorWith("invalid_argument", message));
		await refused({ sortBy: 77 as ModelSortBy }, /sort_by is 77/);
		await refused({ orderBy: -1 as OrderBy }, /order_by is -1/);
		await refused({ modelId: -1 }, /model_id is -1/);
		await refused({ pageSize: -1 }, /page_size is -1/);
		await refused({ name: "x".repeat(100_000) }, /name has 100000/);
		await refused({ description: "\0" }, /description has a NUL/);
		const { nextPageToken: pageToken } = await models.listModels({ pageSize: 1 });
		for (const other of [{ name: "a" }, { sortBy: ModelSortBy.NAME }, { orderBy: OrderBy.DESC }, { archived: false }]) {
			await refused({ ...other, pageToken }, /page_token .* is not one of this list/);
		}
		await assert.rejects(models.listModelLabels({ pageToken }), errorWith("invalid_argument", /page_token/));
	});
});

describe("ModelService.listModelLabels", { timeout: 60_000 }, () => {
	it("gives each label once, those of most models first, equals by their letters", async () => {
		const models = (await startTestServer()).client(ModelService);
		const labels = async (pageSize = 1) => {
			const found: string[] = [];
			let pageToken = "";
			do {
				const answer = await models.listModelLabels({ pageSize, pageToken });
				found.push(...answer.labels);
				pageToken = answer.nextPageToken;
			} while (pageToken !== "");
			return found;
		};
		assert.deepEqual(await labels(), []);
		await models.createModel({ name: "one", labels: ["z", "b", "a,c"] });
		await models.createModel({ name: "two", labels: ["z", "a"] });
		assert.deepEqual(await labels(), ["z", "a", "a,c", "b"]);
		assert.deepEqual(await labels(3), ["z", "a", "a,c", "b"]);
		await models.updateModel({ model: "two", labels: { labels: ["b", "z"] } });
		assert.deepEqual(await labels(), ["b", "z", "a,c"]);
		await models.updateModel({ model: "two", labels: {} });
		await models.archiveModel({ model: "one" });
		assert.deepEqual(await labels(), ["a,c", "b", "z"]);
		await models.deleteModel({ model: "one" });
		assert.deepEqual(await labels(), []);
	});
});
