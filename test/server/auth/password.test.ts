import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { describe, it } from "node:test";
import { assertPassword, hashPassword, isPassword } from "../../../src/server/auth/password.js";
import { errorWith } from "../../support/error-with.js";

describe("hashPassword", () => {
	it("gives another hash each time, each of the same password, with 32 MiB of memory to try one", async () => {
		const [one, other] = await Promise.all([hashPassword("correct horse"), hashPassword("correct horse")]);
		assert.notEqual(one, other);
		assert.match(one ?? "", /^scrypt\$32768\$8\$1\$[\w+/]{22}==\$[\w+/]{43}=$/);
		assert.equal(await isPassword("correct horse", one, "here"), true);
		assert.equal(await isPassword("correct horse", other, "here"), true);
	});

	it("holds neither the password nor what Determined's clients send of it", async () => {
		const hash = await hashPassword("correct horse");
		const sent = createHash("sha512").update("GubPEmmotfiK9TMD6Zdwcorrect horse").digest();
		for (const secret of ["correct horse", sent.toString("hex"), sent.toString("base64")]) {
			assert.ok(!hash.includes(secret));
		}
	});
});

describe("isPassword", () => {
	it("refuses another password, and every password of a user without one", async () => {
		const hash = await hashPassword("correct horse");
		for (const wrong of ["", "correct hors", "correct horse ", "Correct horse"]) {
			assert.equal(await isPassword(wrong, hash, "here"), false, wrong);
		}
		assert.equal(await isPassword("", undefined, "here"), false);
		assert.equal(await isPassword("correct horse", undefined, "here"), false);
	});
});

describe("those who wait for a password to be tried", () => {
	it("are few from one place, and leave the others a turn", async () => {
		const ended: string[] = [];
		const tryFrom = (from: string) => isPassword("x", undefined, from).then(() => ended.push(from));
		const many = Array.from({ length: 30 }, () => tryFrom("one place"));
		const other = tryFrom("another");
		const refused = await Promise.allSettled(many.slice(-8));
		assert.ok(refused.every(({ status }) => status === "rejected"));
		await other;
		assert.ok(ended.filter((from) => from === "one place").length <= 4, `${ended}`);
		await Promise.allSettled(many);
	});
});

describe("assertPassword", () => {
	it("takes 8 to 256 characters", () => {
		for (const password of ["12345678", "a".repeat(256)]) {
			assertPassword("password", password);
		}
		for (const password of ["", "1234567", "a".repeat(257)]) {
			assert.throws(() => assertPassword("password", password), errorWith("invalid_argument", /password has \d+ char/));
		}
	});
});
