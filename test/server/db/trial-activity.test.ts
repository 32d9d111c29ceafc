import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import { Database, type Transaction } from "../../../src/server/db/database.js";
import { migrate } from "../../../src/server/db/migrate.js";
import { listMemberCommits, recordsPerSecond } from "../../../src/server/db/trial-activity.js";
import { insertTrial } from "../../support/insert-trial.js";
import { tempDir } from "../../support/temp-dir.js";

/** A database with a trial whose run of two workers is open; `commits` are [rank, time, records] in their order. */
async function withCommits(commits: readonly (readonly [rank: number, time: number, records: number])[]) {
	const db = await Database.open(tempDir());
	after(() => db.close());
	await migrate(db);
	await db.write(async (tx) => {
		await insertTrial(tx);
		await tx.run(
			`INSERT INTO trial_runs (trial_id, trial_run_id, world_size, state, base_step, start_time)
			VALUES (1, 1, 2, 'RUNNING', 0, 1)`,
		);
		await addMember(tx, 0, null);
		await addMember(tx, 1, null);
		await addMember(tx, 2, 99);
		const counts = [0, 0];
		const sums = [0, 0];
		for (const [rank, time, records] of commits) {
			counts[rank] = (counts[rank] ?? 0) + 1;
			sums[rank] = (sums[rank] ?? 0) + records;
			await tx.run(
				`INSERT INTO commits (trial_id, trial_run_id, rank, member_uuid, commit_number, part, step, finish,
					record_count, run_records, response, time) VALUES (1, 1, ?, ?, ?, 0, ?, 0, ?, ?, x'', ?)`,
				...[rank, `member-${rank}`, counts[rank] ?? 0, counts[rank] ?? 0, records, sums[rank] ?? 0, time],
			);
		}
	});
	return db;
}

function addMember(tx: Transaction, rank: number, goneTime: number | null): Promise<number> {
	return tx.run(
		`INSERT INTO members (trial_id, trial_run_id, rank, member_uuid, host, pid, local_rank, local_world_size, node_rank,
			join_time, gone_time) VALUES (1, 1, ?, ?, 'host', 1, 0, 1, 0, 1, ?)`,
		...[rank, `member-${rank}`, goneTime],
	);
}

/** The rate of rank 0 at a time, with these commits. */
async function rateAt(now: number, commits: readonly (readonly [time: number, records: number])[]) {
	const db = await withCommits(commits.map(([time, records]) => [0, time, records] as const));
	const [member] = await listMemberCommits(db, 1, 1);
	assert.ok(member);
	return recordsPerSecond(member, now);
}

describe("listMemberCommits", { timeout: 30_000 }, () => {
	it("gives the members that are not gone, with their last commit and all that they have committed", async () => {
		const db = await withCommits([
			[0, 1_000, 10],
			[0, 5_000, 20],
			[0, 9_000, 5],
		]);
		const members = await listMemberCommits(db, 1, 1);
		assert.deepEqual(
			members.map(({ rank, last_time, last_step, last_records }) => [rank, last_time, last_step, last_records]),
			[
				[0, 9_000, 3, 35],
				[1, null, null, null],
			],
		);
	});
});

describe("recordsPerSecond", { timeout: 30_000 }, () => {
	it("is known from the second commit on: until then it would count the time in which a worker starts", async () => {
		assert.equal(await rateAt(9_000, []), undefined);
		assert.equal(await rateAt(9_000, [[5_000, 100]]), undefined);
		assert.equal(
			await rateAt(9_000, [
				[5_000, 100],
				[9_000, 40],
			]),
			10,
		);
	});

	it("is that of the last ten seconds up to the last commit", async () => {
		const slowThenFast = [
			[0, 1],
			[5_000, 1],
			[20_000, 1],
			[25_000, 500],
			[30_000, 500],
		] as const;
		assert.equal(await rateAt(30_000, slowThenFast), 100);
		assert.equal(await rateAt(34_000, slowThenFast), 100);
	});

	it("is that of the last two commits where these lie further apart", async () => {
		const commits = [
			[0, 1],
			[40_000, 800],
			[80_000, 400],
		] as const;
		assert.equal(await rateAt(80_000, commits), 10);
	});

	it("falls once the next commit takes longer than those before", async () => {
		const commits = [
			[0, 1],
			[10_000, 1_000],
		] as const;
		assert.deepEqual([await rateAt(20_000, commits), await rateAt(60_000, commits)], [100, 20]);
	});

	it("looks at a hundred commits at most", async () => {
		const commits = Array.from({ length: 150 }, (_, i) => [i * 10, i < 50 ? 1_000 : 1] as const);
		assert.equal(await rateAt(1_490, commits), 100);
	});

	it("says nothing where the clock was set back", async () => {
		assert.equal(
			await rateAt(1_000, [
				[9_000, 1],
				[1_000, 1],
			]),
			undefined,
		);
	});
});
