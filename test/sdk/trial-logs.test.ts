import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, it } from "node:test";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { LogLevel, LogStream, type NewLogEntrySchema } from "../../src/gen/millrace/v1/log_pb.js";
import type { Trial, TrialLog, TrialLogOptions } from "../../src/sdk/index.js";
import { errorWith } from "../support/error-with.js";
import { seedTrial } from "../support/seed-trial.js";
import { useTestClient } from "../support/use-test-client.js";
import { waitUntil } from "../support/wait-until.js";

type NewEntry = MessageInitShape<typeof NewLogEntrySchema>;

describe("Trial.iterLogs", { timeout: 120_000 }, () => {
	const test = useTestClient();

	async function withLines(lines: readonly NewEntry[]) {
		const { trial } = await seedTrial(test.connection);
		const clientId = randomUUID();
		let sequence = 0n;
		const write = (entries: NewEntry[], last = false) =>
			test.connection.logs.writeLogs({ clientId, sequence: ++sequence, trialId: trial.id, entries, last });
		await write([...lines]);
		return { trial, write };
	}

	const texts = async (trial: Trial, options?: TrialLogOptions) =>
		(await trial.iterLogs(options)).map(({ text }) => text);

	it("gives lines with all that is known of them, each with its own time and rank (F.46)", async () => {
		const { trial } = await withLines([
			{
				...{ trialRunId: 1, rank: 2, level: LogLevel.ERROR, stream: LogStream.STDERR, source: "worker", host: "a" },
				...{ time: timestampFromMs(1_500), text: "it broke" },
			},
			{ time: timestampFromMs(2_500), text: "somewhere" },
		]);
		const logs: TrialLog[] = await trial.iterLogs();
		const time = new Date(1_500);
		assert.ok(Number.isInteger(logs[0]?.id));
		assert.deepEqual(logs, [
			{
				...{ id: logs[0]?.id, trialId: trial.id, trialRunId: 1, rank: 2, level: "ERROR", time },
				...{ stream: "stderr", source: "worker", host: "a", text: "it broke" },
				message: "[1970-01-01T00:00:01.500Z] [rank=2] || ERROR: it broke",
			},
			{
				...{ id: logs[1]?.id, trialId: trial.id, trialRunId: null, rank: null, level: "INFO", time: new Date(2_500) },
				...{ stream: null, source: "", host: "", text: "somewhere" },
				message: "[1970-01-01T00:00:02.500Z] || INFO: somewhere",
			},
		]);
	});

	it("gives the first or the last lines, and all of more than a page, from a Pending too", async () => {
		const all = Array.from({ length: 1_234 }, (_, i) => `line ${i}`);
		const { trial } = await withLines(all.map((text) => ({ text })));
		assert.deepEqual(await texts(trial), all);
		assert.deepEqual(await texts(trial, { head: 3 }), all.slice(0, 3));
		assert.deepEqual(await texts(trial, { tail: 700 }), all.slice(-700));
		const pending = await test.client.getTrial(trial.id).iterLogs({ tail: 2 });
		assert.deepEqual(
			pending.map(({ text }) => text),
			["line 1232", "line 1233"],
		);
	});

	it("filters by each of its options", async () => {
		const at = (ms: number) => ({ time: timestampFromMs(ms) });
		const { trial } = await withLines([
			{ ...at(1), rank: 0, level: LogLevel.DEBUG, stream: LogStream.STDOUT, source: "worker", text: "one" },
			{ ...at(2), rank: 1, level: LogLevel.WARNING, stream: LogStream.STDERR, source: "launch", text: "Two" },
			{ ...at(3), rank: 1, stream: LogStream.STDOUT, source: "worker", text: "three." },
		]);
		const cases: [TrialLogOptions, string][] = [
			[{ rankIds: [1] }, "Two three."],
			[{ rankIds: [] }, "one Two three."],
			[{ minLevel: "INFO" }, "Two three."],
			[{ minLevel: "ERROR" }, ""],
			[{ stdtypes: ["stdout"] }, "one three."],
			[{ sources: ["launch"] }, "Two"],
			[{ timestampBefore: new Date(3), timestampAfter: new Date(1) }, "Two"],
			[{ searchText: "T" }, "Two three."],
			[{ searchText: "." }, "three."],
			[{ searchText: "^t.*[oe]$", enableRegex: true }, "Two"],
			[{ rankIds: [1], tail: 1 }, "three."],
			[{ rankIds: [1], head: 1 }, "Two"],
		];
		for (const [options, expected] of cases) {
			assert.equal((await texts(trial, options)).join(" "), expected, JSON.stringify(options));
		}
	});

	it("follows from the last lines on, until the trial has ended", async () => {
		const { trial, write } = await withLines([{ text: "one" }, { text: "two" }, { text: "three" }]);
		const seen: string[] = [];
		const ended = (async () => {
			for await (const { text } of trial.iterLogs({ follow: true, tail: 2 })) {
				seen.push(text);
			}
		})();
		await waitUntil("the last two lines", () => seen.length === 2);
		await write([{ text: "four" }]);
		await waitUntil("a line more", () => seen.length === 3);
		await trial.kill();
		await write([{ text: "five" }], true);
		await ended;
		assert.deepEqual(seen, ["two", "three", "four", "five"]);
	});

	it("stops when its reader does", async () => {
		const { trial } = await withLines([{ text: "one" }]);
		for await (const { text } of trial.iterLogs({ follow: true })) {
			assert.equal(text, "one");
			break;
		}
	});

	it("refuses wrong options", async () => {
		const { trial } = await withLines([]);
		const wrong = (options: object, message: RegExp) =>
			assert.rejects(texts(trial, options), errorWith("invalid_argument", message));
		await wrong([], /^options of iterLogs must be an object/);
		await wrong({ head: 1, tail: 1 }, /^head and tail of iterLogs are both given; give one of them$/);
		await wrong({ head: 0 }, /^head of iterLogs is 0; it must be a whole number from 1$/);
		await wrong({ tail: 1.5 }, /^tail of iterLogs is 1\.5;/);
		await wrong({ rankIds: 3 }, /^rankIds of iterLogs is 3; it must be an array of ranks, from 0$/);
		await wrong({ rankIds: [-1] }, /^rankIds of iterLogs is \[-1\];/);
		await wrong({ minLevel: "LOUD" }, /^minLevel of iterLogs is "LOUD"; it must be one of TRACE, DEBUG,/);
		await wrong({ stdtypes: ["stdin"] }, /^stdtypes of iterLogs is \["stdin"\];/);
		await wrong({ sources: [1] }, /^sources of iterLogs is \[1\]; it must be an array of texts$/);
		await wrong({ timestampBefore: "today" }, /^timestampBefore of iterLogs is "today"; it must be a Date$/);
		await wrong({ timestampAfter: new Date("x") }, /^timestampAfter of iterLogs is Invalid Date;/);
		await wrong({ searchText: 5 }, /^searchText of iterLogs is 5; it must be a text$/);
		await wrong({ follow: "yes" }, /^follow of iterLogs is "yes"; it must be true or false$/);
		await wrong({ searchText: "(", enableRegex: true }, /^search_text is no regular expression/);
		const absent = async () => test.client.getTrial(999).iterLogs();
		await assert.rejects(absent, errorWith("not_found", /^trial 999 not found$/));
	});
});
