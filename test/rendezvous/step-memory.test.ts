import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { StepMemory } from "../../src/rendezvous/step-memory.js";

describe("StepMemory", () => {
	it("tells another thread which batch is loaded or processed, and how many are completed", () => {
		const memory = new StepMemory();
		const seen = new StepMemory(memory.buffer);
		assert.deepEqual([seen.read(), seen.completed], [undefined, 0]);
		const batch = { step: 7, first: 70, end: 80 };
		memory.begin({ ...batch, isLoading: true });
		assert.deepEqual([seen.read(), seen.completed], [{ ...batch, isLoading: true }, 7]);
		memory.end();
		assert.deepEqual([seen.read(), seen.completed], [undefined, 7]);
		memory.begin(batch);
		assert.deepEqual([seen.read(), seen.completed], [{ ...batch, isLoading: false }, 7]);
		memory.end();
		memory.end();
		assert.deepEqual([seen.read(), seen.completed], [undefined, 8]);
	});

	it("tells that something has happened, also where a batch began and ended between two looks", () => {
		const memory = new StepMemory();
		const { turn } = memory;
		memory.begin({ step: 0, first: 0, end: 1 });
		memory.end();
		assert.notEqual(memory.turn, turn);
		assert.deepEqual([memory.read(), memory.completed], [undefined, 1]);
	});
});
