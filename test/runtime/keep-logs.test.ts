import assert from "node:assert/strict";
import { hostname } from "node:os";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import type { TrialLog } from "../../src/sdk/index.js";
import { openCutProxy } from "../support/cut-proxy.js";
import { nodeWithTsx } from "../support/node-with-tsx.js";
import { startCommand } from "../support/start-command.js";
import { useTestClient } from "../support/use-test-client.js";
import type { PrintingWorkerOptions } from "../support/workers/printing-worker.js";

const script = fileURLToPath(new URL("../support/workers/printing-worker.ts", import.meta.url));

describe("keepLogs, in a worker that no launcher started", { timeout: 240_000 }, () => {
	const test = useTestClient();

	async function runWorker(options: PrintingWorkerOptions, env: Record<string, string> = {}) {
		const experiment = await test.client.createExperiment({ name: "printing" });
		const trial = await test.client.createTrial(experiment.id, {});
		const [node, ...args] = nodeWithTsx;
		const command = startCommand(node, [...args, script], {
			env: {
				MILLRACE_SERVER: test.address,
				MILLRACE_TRIAL_ID: String(trial.id),
				WORKER_OPTIONS: JSON.stringify(options),
				...env,
			},
		});
		const end = await command.ended;
		return { end, logs: await trial.iterLogs() };
	}

	const texts = (logs: readonly TrialLog[]) => logs.map(({ text }) => text);

	it("keeps what it prints, each line once, with rank, run, stream, host and level", async () => {
		const { end, logs } = await runWorker({ batches: 3, lines: 2 });
		assert.equal(end.code, 0, end.stderr);
		assert.deepEqual(
			texts(logs).sort(),
			["WARNING: bytes €", "error: base64", ...Array.from({ length: 6 }, (_, i) => `line ${i}`)].sort(),
		);
		const [bytes] = logs.filter(({ text }) => text.startsWith("WARNING"));
		assert.deepEqual(
			[bytes?.rank, bytes?.trialRunId, bytes?.stream, bytes?.host, bytes?.level, bytes?.source],
			[0, 1, "stdout", hostname(), "WARNING", "worker"],
		);
		const [base64] = logs.filter(({ text }) => text.startsWith("error"));
		assert.deepEqual([base64?.stream, base64?.level], ["stderr", "ERROR"]);
		assert.match(end.stdout, /^WARNING: bytes €\nline 0\n/, "the output itself is as it was");
		assert.match(end.stderr, /^error: base64\ntook /);
	});

	it("keeps the stack of an error that batchProcess throws, after the unfinished last line", async () => {
		const { end, logs } = await runWorker({ batches: 1, lines: 0, end: "throw" });
		assert.equal(end.code, 1);
		const lines = texts(logs);
		const stack = logs.slice(lines.indexOf("Error: planted"));
		assert.ok(lines.includes("the last words"));
		assert.ok(stack.length > 1 && stack.slice(0, 3).every(({ level }) => level === "ERROR"));
		assert.match(stack[1]?.text ?? "", /at .*processBatch .*printing-worker\.ts/);
	});

	it("keeps the stack of an error that nobody catches, and the line that was not finished", async () => {
		const { end, logs } = await runWorker({ batches: 1, lines: 1, end: "crash" });
		assert.equal(end.code, 1);
		assert.match(end.stderr, /Error: planted/, "Node says it too");
		const lines = texts(logs).filter((text) => /^(line|the last|Error| +at Immediate)/.test(text));
		assert.deepEqual(lines.slice(0, 3), ["line 0", "the last words", "Error: planted"]);
		assert.match(lines[3] ?? "", /printing-worker\.ts/);
	});

	it("keeps what was printed before process.exit", async () => {
		const { end, logs } = await runWorker({ batches: 1, lines: 5, end: "exit" });
		assert.equal(end.code, 3);
		assert.deepEqual(texts(logs).slice(-6), [...Array.from({ length: 5 }, (_, i) => `line ${i}`), "the last words"]);
	});

	it("keeps 100,000 lines that are printed without a pause", async () => {
		const { end, logs } = await runWorker({ batches: 2, lines: 50_000 });
		assert.equal(end.code, 0, end.stderr);
		const lines = texts(logs).filter((text) => text.startsWith("line"));
		assert.deepEqual(
			lines,
			Array.from({ length: 100_000 }, (_, i) => `line ${i}`),
		);
	});

	it("keeps nothing where its launcher does", async () => {
		const { end, logs } = await runWorker({ batches: 2, lines: 2 }, { MILLRACE_LOGS_KEPT: "1" });
		assert.equal(end.code, 0, end.stderr);
		assert.deepEqual(logs, []);
	});

	it("loses and doubles nothing when the wire breaks", async () => {
		const proxy = await openCutProxy(test.address);
		const cuts = setInterval(() => {
			proxy.cut();
			proxy.resume();
		}, 500);
		try {
			const options = { batches: 20, lines: 50, batchMs: 100 };
			const { end, logs } = await runWorker(options, { MILLRACE_SERVER: proxy.address });
			assert.equal(end.code, 0, end.stderr);
			assert.deepEqual(
				texts(logs).filter((text) => text.startsWith("line")),
				Array.from({ length: 1_000 }, (_, i) => `line ${i}`),
			);
		} finally {
			clearInterval(cuts);
			proxy.close();
		}
	});
});
