import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { stringify } from "yaml";
import { Client } from "../../src/sdk/index.js";
import { findProcesses } from "../support/find-processes.js";
import { missingProgram } from "../support/missing-program.js";
import { builtCommand } from "../support/start-built-server.js";
import { type RunningCommand, startCommand } from "../support/start-command.js";
import { startSlurm } from "../support/start-slurm.js";
import { startTestServer } from "../support/start-test-server.js";
import { tempDir } from "../support/temp-dir.js";
import { waitUntil } from "../support/wait-until.js";

const example = fileURLToPath(new URL("../../examples/mnist", import.meta.url));

const { address } = await startTestServer();
const client = new Client({ server: address });
after(() => client.close());

/** A program that starts the workers of a job, by itself or as the entrypoint of `millrace run`. */
interface Engine {
	/** The words before the worker's own. */
	readonly words: readonly string[];
	/** Why it cannot be tested here. */
	readonly skip: string | false;
	/** Brings up what it needs, and returns its environment. */
	readonly prepare?: () => Promise<{ readonly env: Readonly<Record<string, string>> }>;
}

// Debian's torch is one of its own Python. Version 1.13 takes `--no_python` only with the two flags before it.
const python = "/usr/bin/python3";
const torchrun = `${python} -m torch.distributed.run --nproc_per_node 2 --redirects 1 --tee 1 --no_python`;
const hasTorch = () => spawnSync(python, ["-c", "import torch.distributed.run"], { timeout: 60_000 }).status === 0;

const engines = {
	torchrun: {
		words: torchrun.split(" "),
		skip: hasTorch() ? false : `${python} has no torch; test/install-engines.sh installs what the tests need`,
	},
	mpirun: {
		words: ["mpirun", "--allow-run-as-root", "--oversubscribe", "-n", "2"],
		skip: missingProgram(["mpirun"]),
	},
	srun: {
		words: ["srun", "--overcommit", "-n", "2"],
		skip: missingProgram(["munged", "munge", "slurmctld", "slurmd", "srun", "sinfo"], { root: true }),
		prepare: startSlurm,
	},
} satisfies Readonly<Record<string, Engine>>;

const worker = ["npx", "tsx", "worker.ts"];

function startIn(example: string, words: readonly string[], env: Readonly<Record<string, string>>): RunningCommand {
	const [program = "", ...args] = words;
	return startCommand(program, args, { cwd: example, env: { MILLRACE_SERVER: address, ...env } });
}

const millrace = (...args: string[]) => [process.execPath, builtCommand, ...args];

/** Runs a command in the example's directory, and returns what it wrote to stdout. */
async function succeed(words: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<string> {
	const { code, stdout, stderr } = await startIn(example, words, env).ended;
	assert.equal(code, 0, stdout + stderr);
	return stdout;
}

/** Checks that each of the 10,000 digits was read and counted once in what is committed, by two workers. */
async function assertDone(trialId: number, runCount: number): Promise<void> {
	const trial = await client.getTrial(trialId);
	assert.deepEqual([trial.state, trial.trialRunId], ["COMPLETED", runCount]);
	const outputs = await trial.listOutputs();
	assert.deepEqual([...new Set(outputs.map(({ rank }) => rank))].sort(), [0, 1]);
	const files = await trial.downloadOutputs(tempDir());
	const indices = files
		.flatMap((file) => readFileSync(file, "utf8").trim().split("\n"))
		.map((line) => (JSON.parse(line) as { index: number }).index);
	assert.deepEqual(
		indices.sort((a, b) => a - b),
		Array.from({ length: 10_000 }, (_, i) => i),
	);
	const reports = await trial.getMetrics("inference");
	assert.equal(reports.filter(({ metrics }) => "batch_accuracy" in metrics).length, 200);
	const result = reports.find(({ metrics }) => "held_out_accuracy" in metrics)?.metrics;
	assert.deepEqual([result?.records, result?.held_out_records], [10_000, 2_000]);
}

async function createTrial(): Promise<number> {
	return Number(await succeed(millrace("trial", "create", "mnist.yaml")));
}

await succeed(["npx", "tsx", "register.ts"]);

for (const [name, { words, skip, prepare }] of Object.entries<Engine>(engines)) {
	it(`is told of, with the words for ${name}, in docs/launchers.md`, () => {
		const documentation = readFileSync(new URL("../../docs/launchers.md", import.meta.url), "utf8");
		assert.ok(documentation.includes(`entrypoint: ${[...words, ...worker].join(" ")}\n`));
	});

	describe(`the worker of examples/mnist under ${name}`, { skip, timeout: 300_000 }, async () => {
		const { env } = skip === false && prepare !== undefined ? await prepare() : { env: {} };

		it("runs as the entrypoint of millrace run", async () => {
			const file = join(tempDir(), "mnist.yaml");
			const config = { name, resources: { slots_per_trial: 2 }, hyperparameters: { model: "mnist-cnn" } };
			// The entrypoint runs in the file's directory.
			const entrypoint = `cd ${example} && ${[...words, ...worker].join(" ")}`;
			writeFileSync(file, stringify({ ...config, entrypoint }));
			await succeed(millrace("run", file), env);
			const [trial] = await client.listTrials();
			await assertDone(trial?.id ?? 0, 1);
		});

		it("runs by itself, as workers of a trial that it is told", async () => {
			const trialId = await createTrial();
			await succeed([...words, ...worker], { ...env, MILLRACE_TRIAL_ID: String(trialId) });
			await assertDone(trialId, 1);
		});
	});
}

describe("a worker that torchrun started", { skip: engines.torchrun.skip, timeout: 300_000 }, () => {
	const command = [...engines.torchrun.words, ...worker];

	it("is killed, and all of them go on where they were when they are started again", async () => {
		const trialId = await createTrial();
		const env = { MILLRACE_TRIAL_ID: String(trialId) };
		const first = startIn(example, command, env);
		await waitUntil("a third of the records", async () => (await client.getTrial(trialId)).progress > 0.3, 120_000);
		const workers = findProcesses(
			({ command, environment }) =>
				/--import\n.*\n?worker\.ts/.test(command) && environment.includes(`MILLRACE_TRIAL_ID=${trialId}\n`),
		);
		assert.equal(workers.length, 2);
		process.kill(workers[1]?.pid ?? 0, "SIGKILL");
		const { code, stdout, stderr } = await first.ended;
		assert.notEqual(code, 0);
		assert.match(stdout + stderr, /rank [01] .*(lost|left|gone)/);
		const { state, progress, trialRunId } = await client.getTrial(trialId);
		assert.deepEqual([state, trialRunId], ["ACTIVE", 1]);
		assert.ok(progress > 0.3 && progress < 1, String(progress));
		await succeed(command, env);
		await assertDone(trialId, 2);
	});
});
