import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { LoginThrottle } from "../../../src/server/auth/login-throttle.js";
import { errorWith } from "../../support/error-with.js";

describe("LoginThrottle", () => {
	function throttled() {
		let time = 1_000_000;
		let tries = 0;
		const throttle = new LoginThrottle(() => time);
		const attempt = (isRight: boolean, who = "bob") =>
			throttle.attempt(who, async () => {
				tries++;
				return isRight;
			});
		return {
			attempt,
			pass: (ms: number) => {
				time += ms;
			},
			tries: () => tries,
		};
	}

	it("tries ten wrong passwords at once, and the eleventh only after a second, the next after two, and so on", async () => {
		const { attempt, pass, tries } = throttled();
		for (let i = 0; i < 10; i++) {
			assert.equal(await attempt(false), false);
		}
		for (const seconds of [1, 2, 4, 8, 16, 32, 60, 60]) {
			const slow = errorWith("resource_exhausted", new RegExp(`wrong passwords in a row; try again in ${seconds} s`));
			const before = tries();
			await assert.rejects(attempt(true), slow);
			pass(seconds * 1000 - 1);
			await assert.rejects(attempt(true), /try again in 1 s/);
			assert.equal(tries(), before, "none was tried");
			pass(1);
			assert.equal(await attempt(false), false);
		}
	});

	it("does not let many at once all be free", async () => {
		const { attempt, tries } = throttled();
		const ends = await Promise.allSettled(Array.from({ length: 50 }, () => attempt(false)));
		assert.equal(tries(), 10);
		assert.equal(ends.filter(({ status }) => status === "rejected").length, 40);
	});

	it("forgets all with the right password, and after a quarter of an hour", async () => {
		const { attempt, pass } = throttled();
		for (const forget of [() => attempt(true), async () => pass(15 * 60_000 + 1)]) {
			for (let i = 0; i < 9; i++) {
				await attempt(false);
			}
			await forget();
			for (let i = 0; i < 9; i++) {
				assert.equal(await attempt(false), false);
			}
			await attempt(true);
		}
	});

	it("slows nobody else", async () => {
		const { attempt } = throttled();
		await Promise.allSettled(Array.from({ length: 20 }, () => attempt(false)));
		assert.equal(await attempt(true, "ada"), true);
	});
});
