import assert from "node:assert/strict";
import { describe, it, mock } from "node:test";
import { isMillraceError } from "../../src/errors.js";
import { checkOptions } from "../../src/runtime/batch-process-options.js";

describe("checkOptions", () => {
	it("fills in the defaults", () => {
		const { batchSize, maxBatches, checkpointInterval, profile, onError, maxErrors, distributed } = checkOptions({});
		assert.deepEqual(
			{ batchSize, maxBatches, checkpointInterval, profile, onError, maxErrors },
			{
				batchSize: 1,
				maxBatches: 0,
				checkpointInterval: 5,
				profile: false,
				onError: "fail",
				maxErrors: undefined,
			},
		);
		assert.equal(distributed.size, 1);
	});

	const bad: [string, object, RegExp][] = [
		["a batch size that is no whole number", { batchSize: 1.5 }, /batchSize is 1\.5/],
		["a batch size of 0", { batchSize: 0 }, /batchSize is 0/],
		["a batch size that is a text", { batchSize: "8" }, /batchSize is "8"/],
		["a number instead of an object", 8 as unknown as object, /must be an object: { batchSize: 8 }/],
		["a checkpoint interval of 0", { checkpointInterval: 0 }, /checkpointInterval is 0/],
		["a negative checkpoint interval", { checkpointInterval: -1 }, /checkpointInterval is -1/],
		["maxBatches of half a batch", { maxBatches: 2.5 }, /maxBatches is 2\.5/],
		["shuffle", { dataLoader: { shuffle: true } }, /dataLoader\.shuffle.*every record is processed/],
		["batchSize in the data loader", { dataLoader: { batchSize: 3 } }, /dataLoader\.batchSize.*batchProcess/],
		["an error policy that there is not", { onError: "ignore" }, /onError is "ignore"; it must be "fail" or "skip"/],
		["a negative maxErrors", { onError: "skip", maxErrors: -1 }, /maxErrors is -1/],
		["maxErrors of half a record", { onError: "skip", maxErrors: 0.5 }, /maxErrors is 0\.5/],
		["maxErrors without skip", { maxErrors: 3 }, /maxErrors is 3; it needs onError "skip"/],
		["a Python name", { batch_size: 3 }, /batch_size.*batchSize/],
		["an unknown option", { batchsize: 3 }, /batchsize/],
	];
	for (const [name, options, message] of bad) {
		it(`refuses ${name}, and names it`, () => {
			assert.throws(
				() => checkOptions(options),
				(error) => isMillraceError(error, "invalid_argument") && message.test(error.message),
			);
		});
	}

	it("warns of maxBatches that is not positive, and ignores it", () => {
		const warn = mock.method(console, "warn", () => {});
		assert.equal(checkOptions({ maxBatches: 0 }).maxBatches, 0);
		assert.match(String(warn.mock.calls[0]?.arguments[0]), /maxBatches is 0/);
		warn.mock.restore();
	});
});
