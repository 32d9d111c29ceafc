import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { untilUnused } from "../../src/cli/unused-server.js";

describe("untilUnused", () => {
	it("waits for the first connection, and goes on while one is open", async (test) => {
		test.mock.timers.enable({ apis: ["setTimeout"] });
		let tell = (_count: number): void => {};
		let isOver = false;
		const over = untilUnused((listener) => {
			tell = listener;
			listener(0);
		}).then(() => {
			isOver = true;
		});
		const after = async (ms: number) => {
			test.mock.timers.tick(ms);
			await Promise.resolve();
			await Promise.resolve();
			return isOver;
		};
		assert.equal(await after(14_999), false);
		tell(1);
		assert.equal(await after(60_000), false);
		tell(2);
		tell(1);
		tell(0);
		assert.equal(await after(2_999), false);
		tell(1);
		assert.equal(await after(60_000), false);
		tell(0);
		assert.equal(await after(3_000), true);
		await over;
	});

	it("ends when nobody ever comes", async (test) => {
		test.mock.timers.enable({ apis: ["setTimeout"] });
		const over = untilUnused(() => {});
		test.mock.timers.tick(15_000);
		await over;
	});
});
