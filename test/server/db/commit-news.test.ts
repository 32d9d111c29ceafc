import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import { isMillraceError } from "../../../src/errors.js";
import { CommitNews } from "../../../src/server/db/commit-news.js";
import { Database } from "../../../src/server/db/database.js";
import { tempDir } from "../../support/temp-dir.js";

const never = new AbortController().signal;

describe("CommitNews", { timeout: 60_000 }, () => {
	it("wakes those who wait after a commit, once for commits that follow closely", async () => {
		let db: Database | undefined;
		after(() => db?.close());
		db = await Database.open(tempDir());
		const { edition } = db.news;
		const woken = Promise.all([db.news.after(edition, never), db.news.after(edition, never)]);
		assert.equal(db.news.waitingCount, 2);
		await db.write((tx) => tx.run("CREATE TABLE numbers (n INTEGER) STRICT"));
		await db.write((tx) => tx.run("INSERT INTO numbers VALUES (1)"));
		await woken;
		assert.equal(db.news.edition, edition + 1);
		assert.equal(db.news.waitingCount, 0);
	});

	it("lets nobody wait for what was told since the edition that they noted", async () => {
		const news = new CommitNews();
		const { edition } = news;
		news.tell();
		await news.after(edition, never);
		await news.after(edition, never);
	});

	it("keeps nothing of one whose signal is aborted", async () => {
		const news = new CommitNews();
		const gone = new AbortController();
		const waiting = news.after(news.edition, gone.signal);
		assert.equal(news.waitingCount, 1);
		gone.abort();
		await waiting;
		await news.after(news.edition, gone.signal);
		assert.equal(news.waitingCount, 0);
	});

	it("ends all waiting with unavailable when it is closed", async () => {
		const news = new CommitNews();
		const waiting = news.after(news.edition, never);
		news.close();
		await assert.rejects(waiting, (error) => isMillraceError(error, "unavailable"));
		await assert.rejects(news.after(news.edition, never), (error) => isMillraceError(error, "unavailable"));
		assert.equal(news.waitingCount, 0);
	});
});
