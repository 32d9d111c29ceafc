import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import { setImmediate } from "node:timers/promises";
import { MillraceError } from "../../src/errors.js";
import { openConnection } from "../../src/sdk/connection.js";
import { Client } from "../../src/sdk/index.js";
import { LogQueue } from "../../src/sdk/log-queue.js";
import { LogShipper, type LogShipperOptions } from "../../src/sdk/log-shipper.js";
import { startTrial } from "../server/start-trial.js";
import { startCutProxy } from "../support/cut-proxy.js";
import { startTestServer } from "../support/start-test-server.js";
import { waitUntil } from "../support/wait-until.js";

describe("LogShipper", { timeout: 120_000 }, () => {
	async function withServer() {
		const server = await startTestServer();
		const proxy = await startCutProxy(server.address);
		const connection = openConnection(proxy.address);
		after(() => connection.close());
		const trialId = await startTrial(server);
		const reader = openConnection(server.address);
		after(() => reader.close());
		const texts = async () =>
			(await new Client({ connection: reader }).getTrial(trialId).iterLogs()).map(({ text }) => text);
		return { proxy, connection, trialId, texts };
	}

	it("sends what gathers in few calls, in its order, the last line too (F.46)", async () => {
		const { connection, trialId, texts } = await withServer();
		let calls = 0;
		const logs = {
			writeLogs: (...parameters: Parameters<typeof connection.logs.writeLogs>) => {
				calls++;
				return connection.logs.writeLogs(...parameters);
			},
		};
		const shipper = new LogShipper({ logs, trialId });
		const lines = Array.from({ length: 12_000 }, (_, i) => `line ${i}`);
		for (const text of lines) {
			shipper.add({ text });
		}
		assert.equal(await shipper.close(30_000), 0);
		assert.deepEqual(await texts(), lines);
		assert.ok(calls <= 5, `${calls} calls`);
	});

	it("goes on when the wire was cut in the middle, without gap or double", async () => {
		const { proxy, connection, trialId, texts } = await withServer();
		const shipper = new LogShipper({ logs: connection.logs, trialId });
		const lines: string[] = [];
		for (let round = 0; round < 4; round++) {
			for (let i = 0; i < 500; i++) {
				lines.push(`round ${round} line ${i}`);
				shipper.add({ text: lines.at(-1) ?? "" });
			}
			// The answer, and not the call, is lost.
			proxy.pause("server");
			await new Promise((resolve) => setTimeout(resolve, 250));
			proxy.cut();
			proxy.resume();
		}
		assert.equal(await shipper.close(60_000), 0);
		assert.deepEqual(await texts(), lines);
	});

	it("drops the oldest lines while the server is away for long, and says how many", async () => {
		const { proxy, connection, trialId, texts } = await withServer();
		const settled: number[] = [];
		const shipper = new LogShipper({
			...{ logs: connection.logs, trialId, bounds: { lines: 100 } },
			onSettled: (count) => settled.push(count),
		});
		shipper.announce();
		proxy.cut();
		for (let i = 0; i < 1_000; i++) {
			shipper.add({ text: `line ${i}` });
		}
		proxy.resume();
		await shipper.close(60_000);
		const [note, ...kept] = await texts();
		assert.equal(note, "millrace: 900 lines are missing here: the server did not take them in time");
		assert.deepEqual(
			kept,
			Array.from({ length: 100 }, (_, i) => `line ${900 + i}`),
		);
		assert.equal(
			settled.reduce((sum, count) => sum + count, 0),
			1_000,
		);
	});

	it("ends in a bounded time without a server, and says how many lines were lost (F.46)", async () => {
		const connection = openConnection("127.0.0.1:9");
		after(() => connection.close());
		const shipper = new LogShipper({ logs: connection.logs, trialId: 1 });
		for (let i = 0; i < 50; i++) {
			shipper.add({ text: "lost" });
		}
		await new Promise((resolve) => setTimeout(resolve, 200));
		shipper.add({ text: "lost too" });
		const start = Date.now();
		assert.equal(await shipper.close(300), 51);
		assert.ok(Date.now() - start < 5_000);
	});

	it("is as patient as ever with a server that answers at last", async (test) => {
		const calls: { answer: () => void; signal: AbortSignal | undefined }[] = [];
		const writeLogs: LogShipperOptions["logs"]["writeLogs"] = (_, options) =>
			new Promise((resolve) => calls.push({ answer: () => resolve({} as never), signal: options?.signal }));
		const shipper = new LogShipper({ logs: { writeLogs }, trialId: 1 });
		for (let line = 0; line < 10_000; line++) {
			shipper.add({ text: String(line) });
		}
		test.mock.timers.enable({ apis: ["setTimeout"] });
		const closed = shipper.close(5_000, 1_000);
		// The lines in two calls, and one that says that they were the last.
		for (const [index, ms] of [900, 4_900, 4_900].entries()) {
			while (calls.length === index) {
				await setImmediate();
			}
			test.mock.timers.tick(ms);
			assert.equal(calls[index]?.signal?.aborted, false);
			calls[index]?.answer();
		}
		assert.equal(await closed, 0);
		assert.equal(calls.length, 3);
	});

	it("gives up where the trial is gone, and leaves out what the server refuses", async () => {
		const gone = new LogShipper({
			trialId: 1,
			logs: { writeLogs: () => Promise.reject(new MillraceError("not_found", "trial 1 not found")) },
		});
		gone.add({ text: "x" });
		await gone.close(30_000);
		const taken: string[] = [];
		let calls = 0;
		const refusing = new LogShipper({
			trialId: 1,
			logs: {
				writeLogs: async ({ entries = [] }) => {
					calls++;
					const texts = entries.map(({ text }) => text ?? "");
					if (texts.includes("bad")) {
						throw new MillraceError("internal", "internal error");
					}
					taken.push(...texts);
					return {} as never;
				},
			},
		});
		refusing.add({ text: "bad" });
		await waitUntil("the refusal", () => calls === 1);
		refusing.add({ text: "good" });
		await refusing.close(30_000);
		assert.deepEqual(taken, ["millrace: 1 line is missing here: the server did not take them in time", "good"]);
	});
});

describe("LogQueue", () => {
	it("holds so many characters, and at least one line", () => {
		const queue = new LogQueue({ characters: 10 });
		assert.equal(queue.push({ text: "12345" }), 0);
		assert.equal(queue.push({ text: "67890" }), 0);
		assert.equal(queue.push({ text: "x" }), 1);
		assert.equal(queue.push({ text: "x".repeat(100) }), 2);
		assert.equal(queue.length, 1);
		assert.equal(queue.unsaidCount, 4);
		const { entries, count } = queue.take();
		assert.equal(count, 1);
		assert.match(entries[0]?.text ?? "", /^millrace: 3 lines are missing here/);
		assert.equal(queue.unsaidCount, 0);
	});

	it("gives lines in batches, in their order", () => {
		const queue = new LogQueue();
		for (let i = 0; i < 30_000; i++) {
			queue.push({ text: String(i) });
		}
		const seen: string[] = [];
		while (queue.length > 0) {
			const { entries } = queue.take();
			assert.ok(entries.length <= 5_000);
			seen.push(...entries.map(({ text }) => text));
		}
		assert.deepEqual(
			seen,
			Array.from({ length: 30_000 }, (_, i) => String(i)),
		);
	});
});
