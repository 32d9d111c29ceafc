import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, it } from "node:test";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { OrderBy } from "../../../src/gen/millrace/v1/list_pb.js";
import { type LogEntry, LogLevel, LogStream, type NewLogEntrySchema } from "../../../src/gen/millrace/v1/log_pb.js";
import { LogService, type StreamTrialLogsRequestSchema } from "../../../src/gen/millrace/v1/log_service_pb.js";
import { TrialService } from "../../../src/gen/millrace/v1/trial_service_pb.js";
import { errorWith } from "../../support/error-with.js";
import { startTestServer, type TestServer } from "../../support/start-test-server.js";
import { waitUntil } from "../../support/wait-until.js";
import { startTrial } from "../start-trial.js";

type NewEntry = MessageInitShape<typeof NewLogEntrySchema>;
type StreamRequest = MessageInitShape<typeof StreamTrialLogsRequestSchema>;

async function withTrial() {
	const server = await startTestServer();
	const logs = server.client(LogService);
	const trialId = await startTrial(server);
	const clientId = randomUUID();
	let sequence = 0n;
	const write = (entries: readonly (NewEntry | string)[], last = false) =>
		logs.writeLogs({
			clientId,
			sequence: ++sequence,
			trialId,
			entries: entries.map((entry) => (typeof entry === "string" ? { text: entry } : entry)),
			last,
		});
	const read = (request: StreamRequest = {}) => entriesOf(server, { trialId, ...request });
	const texts = async (request: StreamRequest = {}) => (await read(request)).map(({ text }) => text);
	return { server, logs, trialId, write, read, texts };
}

async function entriesOf(server: TestServer, request: StreamRequest): Promise<LogEntry[]> {
	const entries: LogEntry[] = [];
	for await (const batch of server.client(LogService).streamTrialLogs(request)) {
		entries.push(...batch.entries);
	}
	return entries;
}

/** Reads a stream in the background. */
function follow(server: TestServer, request: StreamRequest, signal?: AbortSignal) {
	const texts: string[] = [];
	const ended = (async () => {
		for await (const batch of server.client(LogService).streamTrialLogs({ follow: true, ...request }, { signal })) {
			texts.push(...batch.entries.map(({ text }) => text));
		}
	})();
	// Whoever aborts it does not wait for it.
	ended.catch(() => {});
	return { texts, ended };
}

describe("writeLogs", { timeout: 120_000 }, () => {
	it("keeps lines with all that is known of them, each with its own time and rank (F.46)", async () => {
		const { trialId, write, read } = await withTrial();
		await write([
			{
				...{ trialRunId: 2, rank: 3, level: LogLevel.ERROR, stream: LogStream.STDERR, source: "worker", host: "a" },
				...{ time: timestampFromMs(1_000), text: "it broke" },
			},
			{ time: timestampFromMs(2_000), text: "" },
		]);
		const [first, second] = await read();
		assert.equal(first && timestampMs(first.time ?? timestampFromMs(0)), 1_000);
		assert.deepEqual([first?.trialId, first?.trialRunId, first?.rank, first?.level], [trialId, 2, 3, LogLevel.ERROR]);
		assert.deepEqual(
			[first?.stream, first?.source, first?.host, first?.text],
			[LogStream.STDERR, "worker", "a", "it broke"],
		);
		assert.deepEqual([second?.text, second?.rank, second?.trialRunId, second?.source], ["", undefined, 0, ""]);
		assert.ok(first !== undefined && second !== undefined && second.id > first.id);
	});

	it("takes the time of arrival where none is given", async () => {
		const { write, read } = await withTrial();
		const before = Date.now();
		await write(["now"]);
		const time = (await read())[0]?.time;
		assert.ok(time !== undefined && timestampMs(time) >= before && timestampMs(time) <= Date.now());
	});

	it("stores a call once that comes twice, and refuses an older one", async () => {
		const { logs, trialId, texts } = await withTrial();
		const call = { clientId: randomUUID(), sequence: 1n, trialId, entries: [{ text: "once" }] };
		await logs.writeLogs(call);
		await logs.writeLogs(call);
		await logs.writeLogs({ ...call, sequence: 2n, entries: [{ text: "twice" }] });
		await assert.rejects(logs.writeLogs(call), errorWith("failed_precondition", /^sequence is 1, but client /));
		assert.deepEqual(await texts(), ["once", "twice"]);
	});

	it("cuts a long line, and says how much is missing", async () => {
		const { write, texts } = await withTrial();
		await write(["x".repeat(65_536), "x".repeat(65_536 + 100), `${"x".repeat(65_502)}${"😀".repeat(100)}`]);
		const [whole, cut, paired] = await texts();
		assert.equal(whole, "x".repeat(65_536));
		assert.ok(cut !== undefined && cut.length <= 65_536);
		const [, kept = "", count] = /^(x+)… \[(\d+) more characters were cut\]$/.exec(cut) ?? [];
		assert.equal(kept.length + Number(count), 65_636);
		assert.doesNotMatch(paired ?? "", /\ufffd|\p{Surrogate}/u, "no character is cut in two");
	});

	it("keeps what is no usual text", async () => {
		const { write, texts } = await withTrial();
		const lines = ["a\0b", "\u0001\u001b[31mred\u001b[0m", '"\\u0000"', "😀\u2028\r", "\ufffe"];
		await write(lines);
		assert.deepEqual(await texts(), ["a\ufffdb", ...lines.slice(1)]);
	});

	it("refuses what is malformed, naming the field", async () => {
		const { logs, trialId } = await withTrial();
		const call = { clientId: "c", sequence: 1n, trialId, entries: [] };
		const wrong = (request: object, message: RegExp) =>
			assert.rejects(logs.writeLogs({ ...call, ...request }), errorWith("invalid_argument", message));
		await wrong({ clientId: "" }, /^client_id is empty/);
		await wrong({ clientId: "c".repeat(129) }, /^client_id has 129 characters; at most 128/);
		await wrong({ sequence: 0n }, /^sequence is 0/);
		await wrong({ trialId: 0 }, /^trial_id is 0/);
		await wrong({ entries: Array(10_001).fill({}) }, /^entries has 10001 lines/);
		await wrong({ entries: [{}, { rank: -1 }] }, /^entries\[1\]\.rank is -1/);
		await wrong({ entries: [{ level: 77 }] }, /^entries\[0\]\.level is 77/);
		await wrong({ entries: [{ stream: -1 }] }, /^entries\[0\]\.stream is -1/);
		await wrong({ entries: [{ trialRunId: -1 }] }, /^entries\[0\]\.trial_run_id is -1/);
		await wrong({ entries: [{ host: "h".repeat(257) }] }, /^entries\[0\]\.host has 257 characters/);
		await wrong({ entries: [{ time: { seconds: 10n ** 15n, nanos: 0 } }] }, /^entries\[0\]\.time is 10{15} s/);
		await assert.rejects(logs.writeLogs({ ...call, trialId: 99 }), errorWith("not_found", /^trial 99 not found$/));
	});

	it("takes lines of a trial that has ended", async () => {
		const { server, trialId, write, texts } = await withTrial();
		await server.client(TrialService).killTrial({ trialId });
		await write(["the last words"]);
		assert.deepEqual(await texts(), ["the last words"]);
	});
});

describe("streamTrialLogs", { timeout: 120_000 }, () => {
	it("streams more lines than a page has, in the order of their arrival, and backwards", async () => {
		const { write, texts } = await withTrial();
		const all = Array.from({ length: 1_700 }, (_, i) => `line ${i}`);
		await write(all.slice(0, 900));
		await write(all.slice(900));
		assert.deepEqual(await texts(), all);
		assert.deepEqual(await texts({ orderBy: OrderBy.DESC }), all.toReversed());
		assert.deepEqual(await texts({ limit: 600 }), all.slice(0, 600));
		assert.deepEqual(await texts({ orderBy: OrderBy.DESC, limit: 3 }), ["line 1699", "line 1698", "line 1697"]);
	});

	it("cuts messages of long lines", async () => {
		const { server, trialId, write } = await withTrial();
		const lines = Array.from({ length: 12 }, (_, i) => `${i} `.padEnd(60_000, "y"));
		await write(lines);
		for (const orderBy of [OrderBy.ASC, OrderBy.DESC]) {
			const counts: number[] = [];
			const texts: string[] = [];
			for await (const { entries } of server.client(LogService).streamTrialLogs({ trialId, orderBy })) {
				counts.push(entries.length);
				texts.push(...entries.map(({ text }) => text));
			}
			assert.deepEqual(counts, [4, 4, 4]);
			assert.deepEqual(texts, orderBy === OrderBy.DESC ? lines.toReversed() : lines);
		}
	});

	it("filters by each of its fields", async () => {
		const { write, texts } = await withTrial();
		const at = (ms: number) => timestampFromMs(ms);
		await write([
			{
				rank: 0,
				level: LogLevel.TRACE,
				stream: LogStream.STDOUT,
				source: "worker",
				host: "a",
				time: at(1),
				text: "one",
			},
			{
				rank: 1,
				level: LogLevel.ERROR,
				stream: LogStream.STDERR,
				source: "launch",
				host: "b",
				time: at(2),
				text: "Two",
			},
			{ trialRunId: 4, time: at(3), text: "ünd 3%_" },
		]);
		const cases: [StreamRequest, string][] = [
			[{}, "one Two ünd 3%_"],
			[{ ranks: [1] }, "Two"],
			[{ ranks: [0, 1] }, "one Two"],
			[{ ranks: [7] }, ""],
			[{ minLevel: LogLevel.TRACE }, "one Two ünd 3%_"],
			[{ minLevel: LogLevel.INFO }, "Two ünd 3%_"],
			[{ minLevel: LogLevel.CRITICAL }, ""],
			[{ streams: [LogStream.STDOUT] }, "one"],
			[{ streams: [LogStream.STDERR, LogStream.UNSPECIFIED] }, "Two ünd 3%_"],
			[{ sources: ["launch", "nobody"] }, "Two"],
			[{ hosts: ["a"] }, "one"],
			[{ trialRunId: 4 }, "ünd 3%_"],
			[{ timeBefore: at(2) }, "one"],
			[{ timeBefore: { seconds: 0n, nanos: 2_000_001 } }, "one Two"],
			[{ timeAfter: at(2) }, "ünd 3%_"],
			[{ timeAfter: at(1), timeBefore: at(3) }, "Two"],
			[{ searchText: "O" }, "one Two"],
			[{ searchText: "ÜND" }, "ünd 3%_"],
			[{ searchText: "%_" }, "ünd 3%_"],
			[{ searchText: "." }, ""],
			[{ searchText: "^(t|ü)", enableRegex: true }, "Two ünd 3%_"],
			[{ searchText: "^(t|ü)", enableRegex: true, ranks: [1], limit: 1 }, "Two"],
		];
		for (const [request, expected] of cases) {
			assert.equal(
				(await texts(request)).join(" "),
				expected,
				JSON.stringify(request, (_, v) => String(v)),
			);
		}
	});

	it("answers others while a regular expression never ends, and then refuses it", async () => {
		const { server, write, texts } = await withTrial();
		await write([`${"a".repeat(50_000)}!`, "b"]);
		let answers = 0;
		const asking = setInterval(() => {
			void server
				.client(TrialService)
				.getTrial({ trialId: 1 })
				.then(() => answers++);
		}, 200);
		try {
			await assert.rejects(
				texts({ searchText: "^(a+)+$", enableRegex: true }),
				errorWith("invalid_argument", /^search_text took more than 5 s for 2 lines; search for a simpler/),
			);
		} finally {
			clearInterval(asking);
		}
		assert.ok(answers > 5, `the server gave ${answers} answers meanwhile`);
		assert.deepEqual(await texts({ searchText: "^b$", enableRegex: true }), ["b"]);
	});

	it("goes on after a resume token, within the limit", async () => {
		const all = Array.from({ length: 1_300 }, (_, i) => `line ${i}`);
		for (const [order, expected] of [
			[OrderBy.ASC, all],
			[OrderBy.DESC, all.toReversed()],
		] as const) {
			const { logs, trialId, write, texts } = await withTrial();
			await write(all);
			const request = { trialId, orderBy: order, limit: 1_200 };
			let resumeToken = "";
			for await (const batch of logs.streamTrialLogs(request)) {
				assert.equal(batch.entries.length, 500);
				resumeToken = batch.resumeToken;
				break;
			}
			await write(["not there at the start"]);
			assert.deepEqual(await texts({ ...request, resumeToken }), expected.slice(500, 1_200));
		}
	});

	it("refuses what is malformed, naming the field", async () => {
		const { texts } = await withTrial();
		const wrong = (request: StreamRequest, message: RegExp) =>
			assert.rejects(texts(request), errorWith("invalid_argument", message));
		await wrong({ trialId: 0 }, /^trial_id is 0/);
		await wrong({ limit: -1 }, /^limit is -1/);
		await wrong({ ranks: [0, -2] }, /^ranks\[1\] is -2/);
		await wrong({ minLevel: 99 as LogLevel }, /^min_level is 99/);
		await wrong({ streams: [5 as LogStream] }, /^streams\[0\] is 5/);
		await wrong({ orderBy: 9 as OrderBy }, /^order_by is 9/);
		await wrong({ afterId: -1n }, /^after_id is -1/);
		await wrong({ follow: true, orderBy: OrderBy.DESC }, /^order_by is DESC, but follow/);
		await wrong({ searchText: "(", enableRegex: true }, /^search_text is no regular expression: .*Unterminated group/);
		await wrong({ resumeToken: "strange" }, /^resume_token "strange" is not one of this stream/);
		await wrong({ timeAfter: { seconds: 0n, nanos: -1 } }, /^time_after is 0 s and -1 ns/);
		await assert.rejects(texts({ trialId: 99 }), errorWith("not_found", /^trial 99 not found$/));
	});

	it("follows what is written, until the trial has ended and its senders are done", async () => {
		const { server, trialId, write } = await withTrial();
		await write(["before"]);
		const { texts, ended } = follow(server, { trialId });
		await waitUntil("the first line", () => texts.length === 1);
		await write(["DEBUG later"]);
		await waitUntil("the second line", () => texts.length === 2);
		await server.client(TrialService).killTrial({ trialId });
		await write(["after its end"]);
		await waitUntil("the third line", () => texts.length === 3);
		const open = Date.now();
		await write(["the last"], true);
		await ended;
		assert.ok(Date.now() - open < 14_000, "it does not wait for a sender that is done");
		assert.deepEqual(texts, ["before", "DEBUG later", "after its end", "the last"]);
	});

	it("follows with a filter, from a line on, and up to a limit", async () => {
		const { server, trialId, write, read } = await withTrial();
		await write(["x 0", "x 1"]);
		const afterId = (await read())[0]?.id ?? 0n;
		const { texts, ended } = follow(server, { trialId, searchText: "x", limit: 2, afterId });
		await write(["y", "x 2", "x 3"]);
		await ended;
		assert.deepEqual(texts, ["x 1", "x 2"]);
	});

	it("waits for a sender that has not said that it is done, but not for ever", async () => {
		const { server, trialId, write } = await withTrial();
		await write(["and then it was killed"]);
		await server.client(TrialService).killTrial({ trialId });
		const start = Date.now();
		const { texts, ended } = follow(server, { trialId });
		await ended;
		assert.deepEqual(texts, ["and then it was killed"]);
		const waitedMs = Date.now() - start;
		assert.ok(waitedMs > 10_000, `it waited ${waitedMs} ms`);
		// Of a trial that ended long ago there is nothing to wait for.
		const again = Date.now();
		await follow(server, { trialId }).ended;
		assert.ok(Date.now() - again < 5_000);
	});

	it("keeps a follower waiting while nobody runs the trial, and forgets one that goes away", async () => {
		const { server, trialId } = await withTrial();
		const gone = new AbortController();
		const { ended } = follow(server, { trialId }, gone.signal);
		assert.equal(await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, 500, "waits"))]), "waits");
		gone.abort();
		await assert.rejects(ended, errorWith("cancelled", /./));
		const start = Date.now();
		await server.close();
		assert.ok(Date.now() - start < 4_000, "nothing holds the server");
	});
});
