import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type Loan, MemoryPool } from "../../../src/rpc/limits/memory-pool.js";

/** Asks a pool, and takes note in `lent` of when it lends. */
function asker(pool: MemoryPool) {
	const lent: string[] = [];
	const ask = (name: string, bytes: number, standing?: number): Loan => {
		const loan = pool.ask(bytes, () => lent.push(name), standing);
		if (loan.isLent) {
			lent.push(name);
		}
		return loan;
	};
	return { lent, ask };
}

describe("MemoryPool", () => {
	it("lends while there is some, and then in the order of asking", () => {
		const pool = new MemoryPool(100);
		const { lent, ask } = asker(pool);
		const [a, b] = [ask("a", 60), ask("b", 40)];
		ask("c", 50);
		// It would fit before the other, which would then wait for ever.
		ask("d", 10);
		assert.deepEqual(lent, ["a", "b"]);
		b.end();
		assert.deepEqual(lent, ["a", "b"]);
		a.end();
		assert.deepEqual(lent, ["a", "b", "c", "d"]);
		assert.equal(pool.lent, 60);
	});

	it("lends to those of a better standing first", () => {
		const pool = new MemoryPool(100);
		const { lent, ask } = asker(pool);
		const first = ask("first", 100);
		ask("worse", 50, 2);
		ask("good", 100);
		ask("also good", 10);
		first.end();
		assert.deepEqual(lent, ["first", "good"]);
		assert.deepEqual(
			pool.waiting.map(({ bytes }) => bytes),
			[10, 50],
		);
	});

	it("lends more than it has to one who is alone", () => {
		const pool = new MemoryPool(100);
		const { lent, ask } = asker(pool);
		const small = ask("small", 1);
		const large = ask("large", 1_000);
		assert.equal(large.isLent, false);
		small.end();
		assert.deepEqual(lent, ["small", "large"]);
	});

	it("lets who waits do so for a time only, which ends with the loan", (test) => {
		test.mock.timers.enable({ apis: ["setTimeout"] });
		const pool = new MemoryPool(100);
		const { lent, ask } = asker(pool);
		const over: string[] = [];
		const loans = ["lent", "patient", "gone", "impatient"].map((name) => ({ name, loan: ask(name, 100) }));
		for (const [index, { name, loan }] of loans.entries()) {
			loan.waitAtMost(name === "impatient" ? 500 : 1_000 + index, () => over.push(name));
		}
		const [first, , gone] = loans;
		test.mock.timers.tick(500);
		assert.deepEqual(over, ["impatient"]);
		gone?.loan.end();
		first?.loan.end();
		assert.deepEqual(lent, ["lent", "patient"]);
		test.mock.timers.tick(10_000);
		assert.deepEqual(over, ["impatient"]);
		assert.deepEqual(pool.waiting, []);
	});

	it("takes back once, and lets go of those who wait no more", () => {
		const pool = new MemoryPool(100);
		const { lent, ask } = asker(pool);
		const a = ask("a", 100);
		const b = ask("b", 100);
		ask("c", 100);
		b.end();
		a.end();
		a.end();
		assert.deepEqual(lent, ["a", "c"]);
		assert.equal(pool.lent, 100);
		assert.deepEqual(pool.waiting, []);
	});
});
