import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import type { MillraceError } from "../../../src/errors.js";
import { Sessions } from "../../../src/server/auth/sessions.js";
import { digestOf, newSecret } from "../../../src/server/auth/token-secret.js";
import { Database } from "../../../src/server/db/database.js";
import { migrate } from "../../../src/server/db/migrate.js";
import { createToken, type NewToken, revokeToken } from "../../../src/server/db/tokens.js";
import { createUser } from "../../../src/server/db/users.js";
import { errorWith } from "../../support/error-with.js";
import { tempDir } from "../../support/temp-dir.js";
import { waitUntil } from "../../support/wait-until.js";

describe("Sessions", { timeout: 30_000 }, () => {
	async function openSessions() {
		let time = Date.now();
		// Registered before the directory's own removal, so that it runs before it.
		let db: Database | undefined;
		after(() => db?.close());
		db = await Database.open(tempDir());
		const database = db;
		await migrate(database);
		const user = { username: "ada", displayName: "", admin: true, remote: false, password: "scrypt$" };
		await database.write((tx) => createUser(tx, user));
		const sessions = await Sessions.open(database, () => time);
		after(() => sessions.close());
		const newToken = async (token: Partial<NewToken> = {}) => {
			const secret = newSecret();
			const made = await database.write((tx) =>
				createToken(tx, { digest: digestOf(secret), userId: 2, description: "", ...token }),
			);
			return { secret, id: made.id };
		};
		return {
			sessions,
			database,
			newToken,
			pass: (ms: number) => {
				time += ms;
			},
			now: () => time,
		};
	}

	it("tells whose token it is, and ends its calls when it expires", async () => {
		const { sessions, newToken, pass, now } = await openSessions();
		const { secret, id } = await newToken({ expireTime: now() + 60_000 });
		const reasons: MillraceError[] = [];
		const { session } = await sessions.enter(secret, (reason) => reasons.push(reason));
		assert.deepEqual(session.caller, { kind: "user", userId: 2, username: "ada", isAdmin: true, tokenId: id });
		pass(59_999);
		(await sessions.enter(secret, assert.fail)).leave();
		assert.equal(reasons.length, 0);
		pass(1);
		await assert.rejects(
			sessions.enter(secret, assert.fail),
			errorWith("unauthenticated", /has expired; log in again/),
		);
		const reason = await waitUntil("the end of the call", () => reasons[0]);
		assert.match(reason.message, /has expired/);
	});

	it("ends no call that has left", async () => {
		const { sessions, newToken } = await openSessions();
		const { secret, id } = await newToken();
		const { leave } = await sessions.enter(secret, assert.fail);
		leave();
		sessions.tokenRevoked(id);
	});

	it("lets no token in that is revoked while it is read", async () => {
		const { sessions, database, newToken } = await openSessions();
		for (let i = 0; i < 20; i++) {
			const { secret, id } = await newToken();
			let isStopped = false;
			const entering = sessions.enter(secret, () => {
				isStopped = true;
			});
			await database.write((tx) => revokeToken(tx, id));
			sessions.tokenRevoked(id);
			const isIn = await entering.then(
				() => true,
				() => false,
			);
			assert.equal(isIn, isStopped, "it is in, and nothing ends it");
		}
	});

	it("reads a user again who has changed, and lets the calls under way go on", async () => {
		const { sessions, database, newToken } = await openSessions();
		const { secret } = await newToken();
		await sessions.enter(secret, assert.fail);
		await database.write((tx) => tx.run("UPDATE users SET admin = 0 WHERE id = 2"));
		await sessions.userChanged(2);
		const { session } = await sessions.enter(secret, assert.fail);
		assert.equal(session.caller.kind === "user" && session.caller.isAdmin, false);
	});

	it("ends all calls of a token, also of those who came before it was read again", async () => {
		const { sessions, newToken } = await openSessions();
		const { secret, id } = await newToken();
		let stopped = 0;
		await sessions.enter(secret, () => stopped++);
		await sessions.userChanged(2);
		await sessions.enter(secret, () => stopped++);
		sessions.tokenRevoked(id);
		assert.equal(stopped, 2);
	});

	it("knows no secret but those that it stores a digest of", async () => {
		const { sessions } = await openSessions();
		await assert.rejects(
			sessions.enter(newSecret(), assert.fail),
			errorWith("unauthenticated", /not one of this server/),
		);
		assert.equal(sessions.hasAccounts, true);
	});
});
