import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { isMillraceError } from "../../../src/errors.js";
import type { BeginProgressResponse } from "../../../src/gen/millrace/v1/progress_service_pb.js";
import { ProgressService } from "../../../src/gen/millrace/v1/progress_service_pb.js";
import { TrialRunState } from "../../../src/gen/millrace/v1/trial_pb.js";
import { TrialService } from "../../../src/gen/millrace/v1/trial_service_pb.js";
import { startTestServer, type TestServer } from "../../support/start-test-server.js";
import { joinRun, startTrial, type TestWorker } from "../start-trial.js";

const options = { batchSize: 10, checkpointInterval: 5 };
const digest = "0".repeat(64);

const range = (first: number, end: number) => ({ first: BigInt(first), end: BigInt(end) });
const leftOf = ({ left }: BeginProgressResponse) => left.map(({ first, end }) => [Number(first), Number(end)]);

async function begin(
	server: TestServer,
	worker: TestWorker | undefined,
	plan: { recordCount?: bigint; maxBatches?: bigint; dataVersion?: string } = {},
) {
	assert.ok(worker);
	return server
		.client(ProgressService)
		.beginProgress({ member: worker.member, plan: { recordCount: 50n, ...plan }, options });
}

const refused =
	(message: RegExp, code: "failed_precondition" | "invalid_argument" = "failed_precondition") =>
	(error: Error) => {
		assert.match(error.message, message);
		assert.ok(isMillraceError(error, code));
		return true;
	};

describe("ProgressService", { timeout: 60_000 }, () => {
	it("tells all workers of a run the same records, whatever was committed meanwhile", async () => {
		const server = await startTestServer();
		const trialId = await startTrial(server);
		const [zero, one] = await joinRun(server, trialId, { worldSize: 2 });
		assert.ok(zero && one);
		const first = await begin(server, zero);
		assert.deepEqual(leftOf(first), [[0, 50]]);
		assert.equal(first.baseStep, 0);
		assert.equal(first.storage?.backend.case, "directory");
		const progress = server.client(ProgressService);
		const { recordsDone } = await progress.commit({
			member: zero.member,
			commitNumber: 1,
			step: 2,
			ranges: [range(0, 10), range(20, 30)],
		});
		assert.equal(recordsDone, 20n);
		assert.deepEqual(leftOf(await begin(server, one)), [[0, 50]]);
	});

	it("goes on with what is left in the next run, from the highest committed step", async () => {
		const server = await startTestServer();
		const trialId = await startTrial(server);
		const [zero] = await joinRun(server, trialId);
		await begin(server, zero);
		assert.ok(zero);
		const progress = server.client(ProgressService);
		await progress.commit({
			member: zero.member,
			commitNumber: 1,
			step: 7,
			ranges: [range(0, 10), range(20, 30), range(30, 31)],
		});
		await zero.leave("lost");
		const workers = await joinRun(server, trialId, { worldSize: 3 });
		const begun = await begin(server, workers[1]);
		assert.deepEqual(leftOf(begun), [
			[10, 20],
			[31, 50],
		]);
		assert.equal(begun.baseStep, 7);
		const { trial } = await server.client(TrialService).getTrial({ trialId });
		assert.deepEqual([trial?.recordsDone, trial?.recordsTotal], [21n, 50n]);
	});

	it("limits the goal by max_batches, and gives an empty data set the goal 0", async () => {
		const server = await startTestServer();
		const limited = await joinRun(server, await startTrial(server), { worldSize: 2 });
		assert.equal((await begin(server, limited[0], { maxBatches: 2n })).goalEnd, 40n);
		const empty = await joinRun(server, await startTrial(server));
		const begun = await begin(server, empty[0], { recordCount: 0n });
		assert.deepEqual([begun.goalEnd, leftOf(begun)], [0n, []]);
	});

	it("refuses a plan or options that differ, naming both", async () => {
		const server = await startTestServer();
		const trialId = await startTrial(server);
		const [zero, one] = await joinRun(server, trialId, { worldSize: 2 });
		assert.ok(one);
		await begin(server, zero, { dataVersion: "v1" });
		await assert.rejects(
			begin(server, one, { recordCount: 60n, dataVersion: "v1" }),
			refused(/the data set length is 60, but trial 1 was started with 50/),
		);
		await assert.rejects(begin(server, one, { dataVersion: "v2" }), refused(/"v2", but trial 1 was started with "v1"/));
		await assert.rejects(
			begin(server, one, { dataVersion: "v1", maxBatches: 3n }),
			refused(/max_batches is 3, .* with 0/),
		);
		const other = { member: one.member, plan: { recordCount: 50n, dataVersion: "v1" } };
		await assert.rejects(
			server.client(ProgressService).beginProgress({ ...other, options: { ...options, batchSize: 20 } }),
			refused(/batch_size is 20 on rank 1, but 10 on rank 0/),
		);
	});

	it("answers a repeated commit with its first answer, also after the run was closed", async () => {
		const server = await startTestServer();
		const trialId = await startTrial(server);
		const [worker] = await joinRun(server, trialId);
		await begin(server, worker);
		assert.ok(worker);
		const progress = server.client(ProgressService);
		const request = { member: worker.member, commitNumber: 1, step: 1, ranges: [range(0, 10)] };
		const first = await progress.commit(request);
		await progress.commit({ ...request, commitNumber: 2, step: 2, ranges: [range(10, 20)] });
		await server.client(TrialService).endTrialRun({ trialId, trialRunId: 1, state: TrialRunState.FAILED });
		assert.deepEqual(await progress.commit(request), first);
		await assert.rejects(
			progress.commit({ ...request, commitNumber: 3, ranges: [range(20, 30)] }),
			refused(/run 1 of trial 1 is closed as FAILED/),
		);
	});

	it("refuses a commit that is not the next, or whose records are not left, and keeps nothing of it", async () => {
		const server = await startTestServer();
		const trialId = await startTrial(server);
		const [zero, one] = await joinRun(server, trialId, { worldSize: 2 });
		await begin(server, zero);
		assert.ok(zero && one);
		const { member, outputs } = zero;
		const progress = server.client(ProgressService);
		const output = { path: `${outputs}/a.jsonl`, sizeBytes: 5n, sha256: digest };
		await progress.commit({ member, commitNumber: 1, step: 3, ranges: [range(10, 20)], outputs: [output] });
		const next = { member, commitNumber: 2, step: 4 };
		const cases: [object, RegExp, ("failed_precondition" | "invalid_argument")?][] = [
			[{ ...next, commitNumber: 3 }, /commit_number is 3, but the worker's next commit has number 2/],
			[{ ...next, step: 2 }, /step is 2, but step 3 is committed/],
			[{ ...next, ranges: [range(0, 5), range(19, 21)] }, /records 19 to 20 are done already, .* by run 1/],
			[{ ...next, member: one.member, commitNumber: 1, ranges: [range(5, 30)] }, /records 5 to 29 are done already/],
			[{ ...next, ranges: [range(45, 51)] }, /reach to record 50, but the goal .* ends before record 50/],
			[{ ...next, ranges: [range(0, 3), range(2, 4)] }, /overlap at record 2/, "invalid_argument"],
			[{ ...next, ranges: [range(3, 3)] }, /at least one record/, "invalid_argument"],
			[{ ...next, outputs: [{ ...output, sizeBytes: 4n }] }, /had 5 committed bytes and now has 4/],
			[{ ...next, outputs: [{ ...output, sha256: "1".repeat(64) }] }, /committed bytes must not change/],
			[{ ...next, outputs: [{ ...output, path: `${one.outputs}/a` }] }, /only commit files below/, "invalid_argument"],
			[{ ...next, outputs: [{ ...output, path: `${outputs}/../x` }] }, /without "\.\."/, "invalid_argument"],
			[{ ...next, step: 2 ** 31 - 1 }, /step is 2147483647, .* 50 records allow steps up to 51/],
			[{ ...next, step: 52 }, /step is 52/],
			[{ ...next, finish: true, ranges: [range(0, 5)] }, /finish commit/, "invalid_argument"],
			[
				{ ...next, partials: [{ reducer: "r", value: { case: "slotJson", value: "{" } }] },
				/not JSON/,
				"invalid_argument",
			],
			[{ ...next, member: { ...member, memberUuid: "other" }, commitNumber: 1 }, /worker other is not/],
		];
		for (const [request, message, code] of cases) {
			await assert.rejects(progress.commit(request), refused(message, code), String(message));
		}
		await progress.commit({ ...next, ranges: [range(0, 5)] });
		const { trial } = await server.client(TrialService).getTrial({ trialId });
		assert.equal(trial?.recordsDone, 15n);
		assert.deepEqual(server.logged, []);
	});

	it("lists committed outputs as they have grown, and those of a finish once the run is completed", async () => {
		const server = await startTestServer();
		const trialId = await startTrial(server);
		const [worker] = await joinRun(server, trialId);
		await begin(server, worker, { recordCount: 10n });
		assert.ok(worker);
		const { member, outputs } = worker;
		const progress = server.client(ProgressService);
		const file = (name: string, size: number) => ({
			path: `${outputs}/${name}`,
			sizeBytes: BigInt(size),
			sha256: digest,
		});
		await progress.commit({
			member,
			commitNumber: 1,
			step: 1,
			ranges: [range(0, 5)],
			outputs: [file("a", 1), file("b", 1)],
		});
		await progress.commit({ member, commitNumber: 2, step: 2, ranges: [range(5, 10)], outputs: [file("a", 2)] });
		await progress.commit({ member, commitNumber: 3, step: 2, finish: true, outputs: [file("a", 9), file("c", 1)] });
		const list = async () => {
			const names: string[] = [];
			let pageToken = "";
			do {
				const page = await server.client(TrialService).listTrialOutputs({ trialId, pageSize: 1, pageToken });
				names.push(...page.outputs.map((output) => `${output.file?.path.split("/")[1]} ${output.file?.sizeBytes}`));
				pageToken = page.nextPageToken;
			} while (pageToken !== "");
			return names;
		};
		assert.deepEqual(await list(), ["a 2", "b 1"]);
		await worker.leave("lost before the end");
		const [second] = await joinRun(server, trialId);
		assert.ok(second);
		assert.deepEqual(leftOf(await begin(server, second, { recordCount: 10n })), []);
		assert.deepEqual(await list(), ["a 2", "b 1"]);
	});

	it("streams the partials of all runs: a slot's last value, a function's values in data set order", async () => {
		const server = await startTestServer();
		const trialId = await startTrial(server);
		const progress = server.client(ProgressService);
		const [first] = await joinRun(server, trialId);
		await begin(server, first);
		assert.ok(first);
		const slot = (value: string) => ({ reducer: "sum", value: { case: "slotJson" as const, value } });
		const values = (...batches: [number, string][]) => ({
			reducer: "#1",
			value: {
				case: "recordValues" as const,
				value: { batches: batches.map(([record, valuesJson]) => ({ firstRecord: BigInt(record), valuesJson })) },
			},
		});
		const { member } = first;
		await progress.commit({
			member,
			commitNumber: 1,
			step: 1,
			ranges: [range(30, 40)],
			partials: [slot("1"), values([30, "[3]"])],
		});
		await progress.commit({
			member,
			commitNumber: 2,
			step: 2,
			ranges: [range(0, 10)],
			// What a function is given after a commit may still belong to the last batch before it.
			partials: [slot("2"), values([0, "[0]"], [30, '["late", []]'], [30, "[]"])],
		});
		await first.leave("lost");
		const [second] = await joinRun(server, trialId);
		await begin(server, second);
		assert.ok(second);
		await progress.commit({
			member: second.member,
			commitNumber: 1,
			step: 3,
			ranges: [range(10, 20)],
			partials: [slot("5"), values([10, "[1]"])],
		});
		const rows: unknown[] = [];
		for await (const { partials } of progress.streamReducerPartials({ member: second.member })) {
			rows.push(...partials.map((p) => [p.reducer, p.trialRunId, p.firstRecord, p.valueJson]));
		}
		assert.deepEqual(rows, [
			["#1", 1, 0n, "[0]"],
			["#1", 2, 10n, "[1]"],
			["#1", 1, 30n, '[3,"late",[]]'],
			["sum", 1, undefined, "2"],
			["sum", 2, undefined, "5"],
		]);
	});

	it("ends a page of partials before it has more than 256 KiB, unless one has, counting bytes", async () => {
		const server = await startTestServer();
		const trialId = await startTrial(server);
		const progress = server.client(ProgressService);
		const [worker] = await joinRun(server, trialId);
		await begin(server, worker);
		assert.ok(worker);
		const { member } = worker;
		const kibibyte = 1024;
		const values = [
			"x".repeat(192 * kibibyte),
			"x".repeat(27 * 1024 * kibibyte),
			"ä".repeat(64 * kibibyte),
			"ä".repeat(96 * kibibyte),
		];
		for (const [i, value] of values.entries()) {
			const partial = { reducer: `r${i}`, value: { case: "slotJson" as const, value: JSON.stringify(value) } };
			await progress.commit({ member, commitNumber: i + 1, step: 1, partials: [partial] });
		}
		await progress.commit({
			member,
			commitNumber: 5,
			step: 1,
			partials: ["s1", "s2"].map((reducer) => ({ reducer, value: { case: "slotJson" as const, value: "1" } })),
		});
		const pages: string[] = [];
		let intact = 0;
		for await (const { partials } of progress.streamReducerPartials({ member })) {
			pages.push(partials.map(({ reducer }) => reducer).join(" "));
			intact += partials.filter(
				({ reducer, valueJson }) => JSON.parse(valueJson) === values[Number(reducer[1])],
			).length;
		}
		assert.deepEqual(pages, ["r0", "r1", "r2", "r3 s1 s2"]);
		assert.equal(intact, 4);
	});
});
