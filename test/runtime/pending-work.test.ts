import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { PendingWork } from "../../src/runtime/pending-work.js";

describe("PendingWork", () => {
	it("waits for all that is open", async () => {
		const pending = new PendingWork();
		let finish: (() => void) | undefined;
		let finished = false;
		pending.track(
			new Promise<void>((resolve) => {
				finish = resolve;
			}).then(() => {
				finished = true;
			}),
		);
		const settled = pending.settle();
		finish?.();
		await settled;
		assert.ok(finished);
	});

	it("throws a failure that nobody awaited, once", async () => {
		const pending = new PendingWork();
		pending.track(Promise.reject(new Error("lost")));
		await assert.rejects(pending.settle(), /lost/);
		await pending.settle();
	});

	it("does not repeat a failure that somebody awaited", async () => {
		const pending = new PendingWork();
		await assert.rejects(async () => await pending.track(Promise.reject(new Error("seen"))), /seen/);
		await pending.track(Promise.reject(new Error("seen"))).catch(() => {});
		await pending.settle();
	});

	it("gives what the work gives", async () => {
		const tracked = new PendingWork().track(Promise.resolve(7));
		assert.equal(await tracked, 7);
		assert.equal(await tracked.finally(() => {}), 7);
	});
});
