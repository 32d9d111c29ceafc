import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { assertOptions } from "../../src/sdk/assert-options.js";
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
