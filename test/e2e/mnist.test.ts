import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { Client, type Trial } from "../../src/sdk/index.js";
import { findProcesses } from "../support/find-processes.js";
import { startCommand } from "../support/start-command.js";
import { tempDir } from "../support/temp-dir.js";
import { waitUntil } from "../support/wait-until.js";

const root = fileURLToPath(new URL("../..", import.meta.url));
const example = join(root, "examples/mnist");
const millrace = join(root, "bin/millrace.js");

/** One directory for all tests of this file, which run in their order. */
const dataDirectory = tempDir();
const env = { MILLRACE_DATA: dataDirectory };
const client = new Client({ dataDirectory });
after(() => client.close());

/** Runs the demo and returns what it printed, apart from its progress. */
async function runDemo(): Promise<string> {
	const demo = startCommand(join(example, "demo.sh"), [], { env });
	const { code, stdout, stderr } = await demo.ended;
	assert.equal(code, 0, stdout + stderr);
	assert.match(stderr, /records\/s/);
	return stdout;
}

/** The lines that show.ts prints for a trial, once by version and once by checkpoint. */
function shown(output: string, trialId: number): RegExpMatchArray[] {
	const pattern = `trial ${trialId}: (\\d+) records, accuracy ([\\d.]+)\\n\\s+held out: (\\d+) records, accuracy ([\\d.]+)`;
	return [...output.matchAll(new RegExp(pattern, "g"))];
}

/** Checks that each of the 10,000 predictions is in the committed outputs exactly once. */
async function assertAllPredicted(trial: Trial): Promise<void> {
	const directory = tempDir();
	const files = await trial.downloadOutputs(directory);
	const indices = files
		.flatMap((file) => readFileSync(file, "utf8").trim().split("\n"))
		.map((line) => (JSON.parse(line) as { index: number; predicted: number }).index);
	assert.equal(indices.length, 10_000);
	assert.deepEqual(
		indices.sort((a, b) => a - b),
		Array.from({ length: 10_000 }, (_, i) => i),
	);
}

async function reduced(trialId: number) {
	const reports = await client.getTrial(trialId).getMetrics("inference");
	const metrics = reports.find((report) => "held_out_accuracy" in report.metrics)?.metrics;
	const batches = reports.filter((report) => "batch_accuracy" in report.metrics);
	return { metrics, batchCount: batches.length };
}

describe("the demo", { timeout: 300_000 }, () => {
	let undisturbed: Awaited<ReturnType<typeof reduced>>;

	it("reads all digits with two workers, and shows what the SDK read back by version and by checkpoint", async () => {
		const output = await runDemo();
		const both = shown(output, 1);
		assert.equal(both.length, 2, output);
		for (const [, records, accuracy, heldOutRecords, heldOutAccuracy] of both) {
			assert.deepEqual([records, heldOutRecords], ["10000", "2000"]);
			assert.ok(Number(heldOutAccuracy) >= 0.96, heldOutAccuracy);
			assert.ok(Number(accuracy) >= 0.96, accuracy);
		}
		assert.match(output, /from 2 workers/);
		assert.match(output.trimEnd().split("\n").slice(-6).join("\n"), /Next:/);
		undisturbed = await reduced(1);
		assert.equal(undisturbed.batchCount, 200);
		await assertAllPredicted(await client.getTrial(1));
	});

	it("shows two trials under the same version when it is run twice", async () => {
		const output = await runDemo();
		assert.equal(shown(output, 1).length, 2, output);
		assert.equal(shown(output, 2).length, 2, output);
		const versions = await client.getModel("mnist-cnn").listVersions();
		assert.equal(versions.length, 1);
	});

	it("gives the same result when a worker is killed half way, and starts again by itself", async () => {
		const run = startCommand(process.execPath, [millrace, "run", "mnist.yaml"], { cwd: example, env });
		const trial = await waitUntil(
			"trial 3 half way",
			async () => {
				const found = await client.getTrial(3).then(
					(trial) => trial,
					() => undefined,
				);
				return found !== undefined && found.progress >= 0.4 ? found : undefined;
			},
			60_000,
		);
		assert.ok(trial.progress < 1, "it was too fast to be killed half way");
		const [worker] = findProcesses(
			({ command, environment }) =>
				/--import\n.*\n?worker\.ts/.test(command) &&
				environment.includes(`MILLRACE_DATA=${dataDirectory}\n`) &&
				environment.includes("\nRANK=1\n"),
		);
		assert.ok(worker, "the worker of rank 1 was not found");
		process.kill(worker.pid, "SIGKILL");
		const { code, stdout, stderr } = await run.ended;
		assert.equal(code, 0, stdout + stderr);
		assert.match(stderr, /rank\s+: 1/);
		assert.match(stderr, /starting run 2/);
		const finished = await client.getTrial(3);
		assert.deepEqual([finished.state, finished.restarts, finished.trialRunId], ["COMPLETED", 1, 2]);
		const { metrics } = await reduced(3);
		assert.deepEqual(metrics, undisturbed.metrics);
		await assertAllPredicted(finished);
	});

	it("answers the same queries to another process, with a server and without one", async () => {
		await client.close();
		const show = () =>
			spawnSync(process.execPath, ["--import", import.meta.resolve("tsx"), "show.ts"], {
				cwd: example,
				env: { ...process.env, ...env },
				encoding: "utf8",
			});
		const embedded = show();
		assert.equal(shown(embedded.stdout, 1).length, 2, embedded.stderr);
		// The embedded server holds the directory until nobody is connected any more.
		const own = await waitUntil(
			"a server of its own",
			async () => {
				const started = startCommand(
					process.execPath,
					[millrace, "server", "--data", dataDirectory, "--port", "0"],
					{},
				);
				const serves = await started.writes("serving at").then(
					() => true,
					() => false,
				);
				return serves ? started : undefined;
			},
			30_000,
		);
		const served = show();
		assert.equal(served.stdout, embedded.stdout, served.stderr);
		own.signal("SIGTERM");
		assert.equal((await own.ended).code, 0);
	});

	it("leaves no process behind", async () => {
		await waitUntil(
			"the end of all processes",
			() => {
				const left = findProcesses(({ environment }) => environment.includes(`MILLRACE_DATA=${dataDirectory}\n`));
				return left.length === 0;
			},
			30_000,
		);
	});
});
