import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { assertProcessor } from "../../src/runtime/assert-processor.js";
import { BatchProcessor, type BatchProcessorClass, batchProcess } from "../../src/runtime/index.js";
import { tempDir } from "../support/temp-dir.js";

class Whole extends BatchProcessor {
	override processBatch() {}
}
class Field extends BatchProcessor {
	override processBatch = () => {};
}
class Heir extends Field {}
// @ts-expect-error As JavaScript permits it.
class Empty extends BatchProcessor {}

describe("assertProcessor", () => {
	it("takes classes that have processBatch as a method, as a field, and from a class above", () => {
		for (const processor of [Whole, Field, Heir]) {
			assertProcessor(processor);
		}
	});

	const given: [string, unknown, string][] = [
		["an object", Object.create(Whole.prototype), "the processor is an object of the class Whole; give a class itself"],
		["a class without processBatch", Empty, "Empty has no method processBatch"],
		["a function that makes one", () => 1, "the processor is a function; give a class"],
		["nothing", undefined, "the processor is undefined; give a class"],
	];
	for (const [name, processor, message] of given) {
		it(`refuses ${name}`, () => {
			assert.throws(() => assertProcessor(processor), { code: "invalid_argument", message: new RegExp(`^${message}`) });
		});
	}

	it("is what batchProcess begins with, as it does with the data set: no trial is recorded", async (t) => {
		const data = join(tempDir(), "data");
		process.env.MILLRACE_DATA = data;
		t.after(() => delete process.env.MILLRACE_DATA);
		const refused = { code: "invalid_argument" };
		await assert.rejects(batchProcess(Empty as unknown as BatchProcessorClass<number[]>, [1]), refused);
		await assert.rejects(batchProcess(Whole, new Set() as unknown as number[]), refused);
		assert.equal(existsSync(data), false);
	});
});
