import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, it } from "node:test";
import { isMillraceError } from "../../../src/errors.js";
import { MetricService } from "../../../src/gen/millrace/v1/metric_service_pb.js";
import { ErrorPolicy } from "../../../src/gen/millrace/v1/progress_pb.js";
import { ProgressService } from "../../../src/gen/millrace/v1/progress_service_pb.js";
import { CollectiveCaller, CollectiveOperation, CollectiveScope } from "../../../src/gen/millrace/v1/rendezvous_pb.js";
import { TrialRunState, TrialState } from "../../../src/gen/millrace/v1/trial_pb.js";
import { TrialService } from "../../../src/gen/millrace/v1/trial_service_pb.js";
import { memberAs } from "../../rendezvous/attend-ranks.js";
import { startTestServer } from "../../support/start-test-server.js";
import { startTrial } from "../start-trial.js";

const skip = { batchSize: 4, checkpointInterval: 5, onError: ErrorPolicy.SKIP };
const range = (first: number, end: number) => ({ first: BigInt(first), end: BigInt(end) });
const toPair = ({ first, end }: { first: bigint; end: bigint }) => [Number(first), Number(end)];
const failure = (record: number, error = "bad") => ({ record: BigInt(record), error, stack: `stack of ${error}` });

const refused =
	(message: RegExp, code: "failed_precondition" | "invalid_argument" | "resource_exhausted" = "failed_precondition") =>
	(error: Error) => {
		assert.match(error.message, message);
		assert.ok(isMillraceError(error, code), String(error));
		return true;
	};

/** A trial over 10 records on a server of its own. */
async function open() {
	const server = await startTestServer();
	const trialId = await startTrial(server);
	const progress = server.client(ProgressService);
	const trials = server.client(TrialService);
	const metrics = server.client(MetricService);

	/** Joins the next run as its only worker. */
	async function join(options: object = skip) {
		const memberUuid = randomUUID();
		const place = await memberAs(server.address, { trialId, memberUuid });
		const member = { trialId, trialRunId: place.trialRunId, rank: 0, memberUuid };
		const { left, alone, baseStep } = await progress.beginProgress({
			member,
			plan: { recordCount: 10n },
			options: { ...skip, ...options },
		});
		return {
			place,
			member,
			baseStep,
			left: left.map(toPair),
			alone: alone.map(toPair),
			async report(part: number, commitNumber: number, metricsJson: string) {
				const pendingCommit = { member, part, commitNumber };
				const report = { trialId, trialRunId: member.trialRunId, group: "inference", stepsCompleted: 1, metricsJson };
				const { statuses } = await metrics.reportMetrics({
					clientId: randomUUID(),
					sequence: 1n,
					reports: [{ ...report, pendingCommit }],
				});
				return statuses[0]?.code === 0 ? "ok" : statuses[0]?.message;
			},
			finish: (metricsJson: string) =>
				place.collective({
					caller: CollectiveCaller.RUNTIME,
					scope: CollectiveScope.WORLD,
					operation: CollectiveOperation.FINISH,
					results: [{ group: "validation", metricsJson }],
				}),
		};
	}

	async function reported(): Promise<string[]> {
		const found: string[] = [];
		for await (const { reports } of metrics.streamTrialMetrics({ trialIds: [trialId] })) {
			found.push(...reports.map((report) => `${report.group} run ${report.trialRunId} ${report.metricsJson}`));
		}
		return found;
	}

	async function listed(pageSize = 0): Promise<string[]> {
		const found: string[] = [];
		let pageToken = "";
		do {
			const page = await trials.listTrialErrors({ trialId, pageSize, pageToken });
			found.push(...page.errors.map((e) => `${e.record} run ${e.trialRunId} rank ${e.rank}: ${e.error}, ${e.stack}`));
			pageToken = page.nextPageToken;
		} while (pageToken !== "");
		return found;
	}

	const getTrial = async () => (await trials.getTrial({ trialId })).trial;
	return { server, trialId, progress, trials, join, reported, listed, getTrial };
}

describe("dead letters", { timeout: 60_000 }, () => {
	it("are listed in pages, are not left to later runs, and finish a trial as records do that are done", async () => {
		const { trialId, progress, join, listed, getTrial } = await open();
		const first = await join();
		const failures = [failure(7), failure(2, "worse"), failure(3)];
		const { recordsDone } = await progress.commit({
			member: first.member,
			commitNumber: 1,
			step: 1,
			ranges: [range(0, 2)],
			failures,
		});
		assert.equal(recordsDone, 2n);
		const trial = await getTrial();
		assert.deepEqual([trial?.recordsDone, trial?.recordsFailed], [2n, 3n]);
		const expected = [
			"2 run 1 rank 0: worse, stack of worse",
			"3 run 1 rank 0: bad, stack of bad",
			"7 run 1 rank 0: bad, stack of bad",
		];
		assert.deepEqual(await listed(), expected);
		assert.deepEqual(await listed(1), expected);
		await first.place.leave("lost");
		const second = await join();
		assert.deepEqual(second.left, [
			[4, 7],
			[8, 10],
		]);
		await assert.rejects(second.finish("{}"), /trial 1 is not finished: 5 of its 10 records are left/);
		const third = await join();
		const rest = { member: third.member, commitNumber: 1, step: 2, ranges: [range(4, 7), range(8, 10)] };
		await progress.commit(rest);
		await third.finish("{}");
		assert.equal((await getTrial())?.state, TrialState.COMPLETED);
		assert.equal((await getTrial())?.id, trialId);
	});

	it("are refused where a record is done, has failed or is not left, and without the policy SKIP", async () => {
		const { progress, join, listed, getTrial } = await open();
		const { member, place } = await join();
		await progress.commit({ member, commitNumber: 1, step: 1, ranges: [range(0, 2)], failures: [failure(2)] });
		const next = { member, commitNumber: 2, step: 1 };
		const cases: [object, RegExp, ("invalid_argument" | "failed_precondition")?][] = [
			[{ failures: [failure(1)] }, /records 1 to 1 are done already/],
			[{ failures: [failure(2)] }, /record 2 of trial 1 is a dead letter of run 1; retry/],
			[{ ranges: [range(2, 4)] }, /record 2 of trial 1 is a dead letter of run 1/],
			[{ failures: [failure(10)] }, /reach to record 10/],
			[{ failures: [failure(5), failure(5)] }, /name each record once/, "invalid_argument"],
			[{ ranges: [range(4, 6)], failures: [failure(5)] }, /name each record once/, "invalid_argument"],
			[{ failures: [failure(-1)] }, /failures\[0\]\.record is -1/, "invalid_argument"],
			[{ failures: [failure(5, "x".repeat(70_000))] }, /failures\[0\]\.error has 70000/, "invalid_argument"],
			[{ finish: true, failures: [failure(5)] }, /finish commit/, "invalid_argument"],
		];
		for (const [request, message, code] of cases) {
			await assert.rejects(progress.commit({ ...next, ...request }), refused(message, code), String(message));
		}
		assert.equal((await listed()).length, 1);
		assert.equal((await getTrial())?.recordsFailed, 1n);
		await place.leave("lost");
		const second = await join({ onError: ErrorPolicy.UNSPECIFIED });
		await assert.rejects(
			progress.commit({ member: second.member, commitNumber: 1, step: 1, failures: [failure(5)] }),
			refused(/record 5 failed, but the workers of run 2 of trial 1 do not skip errors/),
		);
	});

	it("may be no more than max_errors, of all runs", async () => {
		const { progress, join, listed } = await open();
		const first = await join({ maxErrors: 2n });
		const request = { member: first.member, commitNumber: 1, step: 1, failures: [failure(1)] };
		await progress.commit(request);
		await first.place.leave("lost");
		const { member } = await join({ maxErrors: 2n });
		const limit = /3 records of trial 1 failed, and maxErrors permits 2; the last: record 5: worse/;
		await assert.rejects(
			progress.commit({ ...request, member, ranges: [range(2, 4)], failures: [failure(4), failure(5, "worse")] }),
			refused(limit, "resource_exhausted"),
		);
		assert.equal((await listed()).length, 1);
		await progress.commit({ ...request, member, ranges: [range(2, 4)], failures: [failure(4)] });
		assert.equal((await listed()).length, 2);
	});

	it("compares the policy and the limit of all workers", async () => {
		const { trialId, progress, server } = await open();
		const uuids = [randomUUID(), randomUUID()];
		const [zero, one] = await Promise.all(
			uuids.map((memberUuid, rank) => memberAs(server.address, { trialId, memberUuid, rank, worldSize: 2 })),
		);
		assert.ok(zero && one);
		const begin = (rank: number, options: object) =>
			progress.beginProgress({
				member: { trialId, trialRunId: 1, rank, memberUuid: uuids[rank] ?? "" },
				plan: { recordCount: 10n },
				options: { ...skip, ...options },
			});
		await begin(0, { maxErrors: 3n });
		await begin(1, { maxErrors: 3n });
		await assert.rejects(begin(1, {}), refused(/max_errors is unset on rank 1, but 3 on rank 0/));
		await assert.rejects(
			begin(1, { onError: ErrorPolicy.UNSPECIFIED }),
			refused(/on_error is FAIL on rank 1, but SKIP on rank 0/),
		);
		await assert.rejects(
			begin(1, { onError: ErrorPolicy.FAIL, maxErrors: 3n }),
			refused(/max_errors is set without on_error SKIP/, "invalid_argument"),
		);
		await assert.rejects(begin(1, { maxErrors: -1n }), refused(/max_errors is -1/, "invalid_argument"));
	});
});

describe("StartPart", { timeout: 60_000 }, () => {
	it("archives what the part before has not committed, and refuses its later writes", async () => {
		const { progress, join, reported, getTrial } = await open();
		const worker = await join();
		const { member } = worker;
		assert.equal(await worker.report(0, 1, '{"a":1}'), "ok");
		await progress.commit({ member, commitNumber: 1, step: 1, ranges: [range(0, 4)] });
		assert.equal(await worker.report(0, 2, '{"a":2}'), "ok");
		await progress.startPart({ member, part: 1 });
		assert.deepEqual(await reported(), ['inference run 1 {"a":1}']);
		assert.equal(JSON.parse((await getTrial())?.summaryMetricsJson ?? "").inference.a.count, 1);

		assert.match((await worker.report(0, 2, '{"a":3}')) ?? "", /part 0 is closed; the worker is at part 1/);
		const next = { member, commitNumber: 2, step: 2, ranges: [range(4, 8)] };
		await assert.rejects(progress.commit(next), refused(/part 0 is closed; the worker is at part 1/));
		assert.equal(await worker.report(1, 2, '{"a":4}'), "ok");
		await progress.startPart({ member, part: 1 });
		await progress.commit({ ...next, part: 1 });
		assert.deepEqual(await reported(), ['inference run 1 {"a":1}', 'inference run 1 {"a":4}']);
	});

	it("refuses a part that is not the next one, and writes of one that has not started", async () => {
		const { progress, join } = await open();
		const { member, report } = await join();
		await assert.rejects(progress.startPart({ member, part: 2 }), refused(/part is 2, but the worker is at part 0/));
		await assert.rejects(progress.startPart({ member, part: 0 }), refused(/part is 0/, "invalid_argument"));
		assert.match((await report(1, 1, "{}")) ?? "", /part 1 has not started/);
		await assert.rejects(
			progress.commit({ member, part: 1, commitNumber: 1, step: 1 }),
			refused(/part 1 has not started; the worker is at part 0, and StartPart starts the next/),
		);
		await progress.startPart({ member, part: 1 });
		await progress.startPart({ member, part: 2 });
		await assert.rejects(progress.startPart({ member, part: 1 }), refused(/part is 1, but the worker is at part 2/));
	});

	it("refuses a worker whose run is closed", async () => {
		const { progress, join, trials, trialId } = await open();
		const { member } = await join();
		await progress.startPart({ member, part: 1 });
		await trials.endTrialRun({ trialId, trialRunId: 1, state: TrialRunState.FAILED });
		await progress.startPart({ member, part: 1 });
		await assert.rejects(progress.startPart({ member, part: 2 }), refused(/run 1 of trial 1 is closed as FAILED/));
	});
});

describe("Commit of records that are alone", { timeout: 60_000 }, () => {
	it("tells later runs those of them that are left, and not its own", async () => {
		const { progress, join } = await open();
		const first = await join();
		const request = { member: first.member, commitNumber: 1, step: 1, ranges: [range(5, 6)] };
		await progress.commit({ ...request, alone: [range(4, 5), range(6, 8)] });
		await progress.commit({ ...request, commitNumber: 2, ranges: [range(6, 7)], alone: [range(7, 8)] });
		await first.place.leave("lost");
		const second = await join();
		assert.deepEqual(second.alone, [
			[4, 5],
			[7, 8],
		]);
		await progress.commit({ ...request, member: second.member, ranges: [range(7, 8)], alone: [range(8, 10)] });
		const again = await progress.beginProgress({ member: second.member, plan: { recordCount: 10n }, options: skip });
		assert.deepEqual(again.alone.map(toPair), second.alone);
	});

	it("refuses more than a batch has, what is not in the goal, and a worker that does not skip errors", async () => {
		const { progress, join } = await open();
		const first = await join();
		const request = { member: first.member, commitNumber: 1, step: 1, ranges: [range(0, 1)] };
		const commit = (...alone: ReturnType<typeof range>[]) => progress.commit({ ...request, alone });
		await assert.rejects(commit(range(1, 2 + skip.batchSize)), refused(/alone names \d+ records, but a batch has/));
		await assert.rejects(commit(range(9, 11)), refused(/alone reaches to record 10, but the goal/));
		await assert.rejects(commit(range(2, 2)), refused(/alone\[0\] .* at least one record/, "invalid_argument"));
		await first.place.leave("lost");
		const second = await join({ onError: ErrorPolicy.FAIL });
		const failing = progress.commit({ ...request, member: second.member, alone: [range(1, 2)] });
		await assert.rejects(failing, refused(/alone is set, but the workers .* do not skip errors/));
	});
});

describe("RetryTrialErrors", { timeout: 60_000 }, () => {
	it("lets a completed trial process its dead letters, after which another finish takes the place of the first", async () => {
		const { trialId, progress, trials, join, listed, reported, getTrial } = await open();
		const first = await join();
		const request = { member: first.member, commitNumber: 1, step: 3, ranges: [range(0, 9)], failures: [failure(9)] };
		const files = (size: number) =>
			["a", "end"].map((name) => ({
				path: `r1-w0-p0-${first.member.memberUuid}/${name}`,
				sizeBytes: BigInt(size),
				sha256: "0".repeat(64),
			}));
		await progress.commit({ ...request, outputs: files(1).slice(0, 1) });
		assert.equal(await first.report(0, 2, '{"end":1}'), "ok");
		await progress.commit({ member: first.member, commitNumber: 2, step: 3, finish: true, outputs: files(2) });
		await first.finish('{"sum":1}');
		const outputs = async () =>
			(await trials.listTrialOutputs({ trialId })).outputs.map(
				({ file }) => `${file?.path.split("/")[1]} ${file?.sizeBytes}`,
			);
		assert.deepEqual(await outputs(), ["a 2", "end 2"]);

		const retry = { requestId: randomUUID(), trialId };
		const { trial, removedCount } = await trials.retryTrialErrors(retry);
		assert.deepEqual([trial?.state, trial?.recordsFailed, removedCount], [TrialState.ACTIVE, 0n, 1n]);
		assert.equal(trial?.endTime, undefined);
		assert.deepEqual(await listed(), []);
		assert.equal((await trials.retryTrialErrors(retry)).removedCount, 1n);

		const second = await join();
		assert.deepEqual([second.left, second.baseStep], [[[9, 10]], 3]);
		await progress.commit({ member: second.member, commitNumber: 1, step: 4, ranges: [range(9, 10)] });
		assert.deepEqual(await reported(), ['inference run 1 {"end":1}', 'validation run 1 {"sum":1}']);
		await second.finish('{"sum":2}');
		assert.deepEqual(await reported(), ['validation run 2 {"sum":2}']);
		assert.deepEqual(await outputs(), ["a 1"]);
		const done = await getTrial();
		assert.deepEqual([done?.state, done?.recordsDone, done?.recordsFailed], [TrialState.COMPLETED, 10n, 0n]);
	});

	it("lets later runs take the dead letters alone", async () => {
		const { trialId, progress, trials, join } = await open();
		const first = await join();
		await progress.commit({
			member: first.member,
			commitNumber: 1,
			step: 1,
			ranges: [range(0, 3)],
			failures: [failure(3), failure(4)],
		});
		await first.place.leave("lost");
		await trials.retryTrialErrors({ trialId });
		const second = await join();
		assert.deepEqual([second.left, second.alone], [[[3, 10]], [[3, 5]]]);
	});

	it("leaves a trial without dead letters as it is, and refuses one with an open run or a canceled one", async () => {
		const { trialId, progress, trials, join, getTrial } = await open();
		const { member, place } = await join();
		await assert.rejects(trials.retryTrialErrors({ trialId }), refused(/run 1 of trial 1 is open/));
		await progress.commit({ member, commitNumber: 1, step: 1, failures: [failure(1)] });
		await place.leave("lost");
		await trials.pauseTrial({ trialId });
		assert.equal((await trials.retryTrialErrors({ trialId })).removedCount, 1n);
		assert.equal((await getTrial())?.state, TrialState.ACTIVE);
		await trials.pauseTrial({ trialId });
		assert.equal((await trials.retryTrialErrors({ trialId })).removedCount, 0n);
		assert.equal((await getTrial())?.state, TrialState.PAUSED);
		await trials.killTrial({ trialId });
		await assert.rejects(trials.retryTrialErrors({ trialId }), refused(/trial 1 is canceled/));
	});
});
