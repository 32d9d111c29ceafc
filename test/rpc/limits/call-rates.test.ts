import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { CallRates } from "../../../src/rpc/limits/call-rates.js";
import { pushbackOf } from "../../../src/rpc/pushback.js";
import { errorWith } from "../../support/error-with.js";

/** Rates of ten calls per second, and a clock to move. */
function startRates() {
	const clock = { ms: 0 };
	const rates = new CallRates(10, () => clock.ms);
	/** Makes calls until one is refused, and returns how many were not. */
	const callAll = (caller: string): number => {
		for (let count = 0; ; count++) {
			try {
				rates.count(caller, "one token");
			} catch {
				return count;
			}
		}
	};
	return { clock, rates, callAll };
}

describe("CallRates", () => {
	it("lets twice a second's calls pass at once, and then so many per second", () => {
		const { clock, callAll } = startRates();
		assert.equal(callAll("a"), 20);
		clock.ms += 1_000;
		assert.equal(callAll("a"), 10);
		clock.ms += 60_000;
		assert.equal(callAll("a"), 20);
	});

	it("refuses with a sentence, and says when to call again", () => {
		const { clock, rates, callAll } = startRates();
		callAll("a");
		clock.ms += 40;
		assert.throws(
			() => rates.count("a", "one token"),
			(error: Error) => {
				assert.equal(pushbackOf(error), 60);
				return errorWith(
					"resource_exhausted",
					/^one token made more than 10 calls per second, .* call less often, .* --max-calls-per-second$/,
				)(error);
			},
		);
	});

	it("counts each caller by itself, and forgets those who pause", () => {
		const { clock, rates, callAll } = startRates();
		callAll("a");
		clock.ms += 1_500;
		assert.equal(callAll("b"), 20);
		assert.equal(rates.size, 2);
		clock.ms += 1_000;
		callAll("b");
		assert.equal(rates.size, 1);
	});
});
