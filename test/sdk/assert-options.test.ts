import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { assertKnownOptions, assertOptions } from "../../src/sdk/assert-options.js";
import { Client } from "../../src/sdk/index.js";

describe("assertOptions", () => {
	const given: [unknown, string][] = [
		["accuracy", '{ name: "accuracy" }'],
		[8, "{ name: 8 }"],
		[null, "{ name: … }"],
		[["a"], "{ name: … }"],
		[() => 1, "{ name: … }"],
	];
	for (const [options, example] of given) {
		it(`says what to write instead of ${String(options)}`, () => {
			assert.throws(() => assertOptions(options, "wrapReducer", "name"), {
				code: "invalid_argument",
				message: `options of wrapReducer must be an object: ${example}`,
			});
		});
	}

	it("takes an object", () => {
		assertOptions({}, "wrapReducer", "name");
	});

	it("is what a client and its methods do with Python's positional arguments", async () => {
		const text = "positional" as unknown as object;
		const refused = (start: string) => ({ code: "invalid_argument", message: new RegExp(`^options of ${start}`) });
		assert.throws(() => new Client(text), refused('Client .*server: "positional"'));
		const client = new Client({ server: "127.0.0.1:1" });
		await assert.rejects(client.createModel("m", text), refused("createModel .*description"));
		await assert.rejects(client.createTrial(1, text), refused("createTrial .*hparams"));
		await assert.rejects(client.uploadCheckpoint("/tmp", text), refused("uploadCheckpoint .*metadata"));
		await client.close();
	});
});

describe("assertKnownOptions", () => {
	const wrong: [Record<string, unknown>, RegExp][] = [
		[{ lables: ["a"] }, /^unknown option lables of createModel; it has description, existOk$/],
		[{ exist_ok: true }, /^unknown option exist_ok of createModel: it is existOk here$/],
		["digits" as never, /^options of createModel must be an object: \{ description: "digits" \}$/],
	];
	for (const [options, message] of wrong) {
		it(`refuses ${JSON.stringify(options)}`, () => {
			const known = ["description", "existOk"];
			assert.throws(() => assertKnownOptions(options, "createModel", known), { code: "invalid_argument", message });
		});
	}

	it("takes what is known, also where it is undefined", () => {
		assertKnownOptions<{ description?: string | undefined }>({}, "createModel", ["description"]);
		assertKnownOptions<{ description?: string | undefined }>({ description: undefined }, "createModel", [
			"description",
		]);
	});

	it("is what the methods do, so that a mistyped filter does not list all", async () => {
		const refused = { code: "invalid_argument", message: /^unknown option typo of / };
		const typo = { typo: 1 } as object;
		assert.throws(() => new Client(typo), refused);
		const client = new Client({ server: "127.0.0.1:1" });
		const calls = [
			() => client.createModel("m", typo),
			() => client.createTrial(1, typo),
			() => client.uploadCheckpoint("/tmp", typo),
			() => client.listCheckpoints(typo),
			() => client.listModels(typo),
			() => client.listExperiments(typo),
			() => client.listTrials(typo),
			() => client.iterTrialsMetrics([1], "inference", typo),
		];
		for (const call of calls) {
			await assert.rejects(async () => await call(), refused);
		}
		await client.close();
	});
});
