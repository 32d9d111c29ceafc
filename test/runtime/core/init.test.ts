import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { TrialRunState } from "../../../src/gen/millrace/v1/trial_pb.js";
import { TrialService } from "../../../src/gen/millrace/v1/trial_service_pb.js";
import { core } from "../../../src/runtime/index.js";
import { Client } from "../../../src/sdk/index.js";
import { errorWith } from "../../support/error-with.js";
import { startTestServer } from "../../support/start-test-server.js";
import { startWorkers, type Worker } from "../../support/start-workers.js";
import { tempDir } from "../../support/temp-dir.js";

const server = await startTestServer();
const client = new Client({ server: server.address });
const trials = server.client(TrialService);
after(() => client.close());

async function newTrial(maxRestarts = 5): Promise<number> {
	const experiment = await client.createExperiment({ name: "test", entrypoint: "test" });
	return (await client.createTrial(experiment.id, { maxRestarts })).id;
}

function start(trialId: number, world: number, options: object): Worker[] {
	const workers = startWorkers({ server: server.address, world, trialId, worker: "core-worker.ts", options });
	after(() => workers.forEach(({ process }) => void process.kill("SIGKILL")));
	return workers;
}

const ends = (workers: readonly Worker[]) => Promise.all(workers.map(({ ended }) => ended));

/** Runs workers to their good end, and returns what each loop returned. */
async function run(trialId: number, world: number, options: object): Promise<unknown[]> {
	const ended = await ends(start(trialId, world, options));
	for (const { code, stderr } of ended) {
		assert.equal(code, 0, stderr);
	}
	return ended.map(({ lines }) => lines.at(-1)?.results?.returned);
}

/** The states of a run and of its trial, and why the run ended. */
async function statesOf(trialId: number, trialRunId: number) {
	const { trialRun } = await trials.getTrialRun({ trialId, trialRunId });
	const { state, restarts } = await client.getTrial(trialId);
	return { run: TrialRunState[trialRun?.state ?? 0], trial: state, reason: trialRun?.reason ?? "", restarts };
}

describe("core.init, alone", { timeout: 120_000 }, () => {
	it("makes an experiment and a trial of its own, and returns what the loop returns", async () => {
		const options = { server: server.address, name: "own", hparams: { lr: 0.5 }, config: { data: { a: 1 } } };
		const info = await core.init(async (context) => context.info, options);
		assert.ok(info);
		const experiment = await client.getExperiment(info.experimentId);
		assert.deepEqual([experiment.name, experiment.config.data, info.hparams], ["own", { a: 1 }, { lr: 0.5 }]);
		assert.deepEqual([info.config.data, info.latestCheckpoint, info.stepsCompleted], [{ a: 1 }, null, null]);
		assert.deepEqual(await statesOf(info.trialId, 1), {
			run: "COMPLETED",
			trial: "COMPLETED",
			reason: "",
			restarts: 0,
		});
	});

	it("fails the trial when the loop throws, and throws the same", async () => {
		const thrown = new Error("planted");
		let trialId = 0;
		const failed = core.init(
			(context) => {
				trialId = context.info.trialId;
				throw thrown;
			},
			{ server: server.address },
		);
		await assert.rejects(failed, (error) => error === thrown);
		const { run, trial, reason } = await statesOf(trialId, 1);
		assert.deepEqual([run, trial], ["FAILED", "ERROR"]);
		assert.match(reason, /rank 0 on \S+ failed: planted/);
	});

	it("gives a context to close to who cannot have a callback", async () => {
		const good = await core.init({ server: server.address });
		await good.train.reportMetrics("steps", 1, { a: 1 });
		await good.close();
		await good.close();
		assert.equal((await client.getTrial(good.info.trialId)).state, "COMPLETED");
		assert.throws(() => good.train.reportMetrics("steps", 2, { a: 1 }), errorWith("failed_precondition", /is closed/));

		const bad = await core.init({ server: server.address });
		await bad.close(new Error("planted"));
		const { trial, reason } = await statesOf(bad.info.trialId, 1);
		assert.equal(trial, "ERROR");
		assert.match(reason, /planted/);
	});

	it("is called once for a trial that it is told", async () => {
		const trialId = await newTrial();
		process.env.MILLRACE_TRIAL_ID = String(trialId);
		try {
			const again = () => core.init(() => 0, { server: server.address });
			await assert.rejects(
				core.init(again, { server: server.address }),
				errorWith("failed_precondition", /core\.init was called before in this process with trial/),
			);
			assert.equal(await core.init(() => 1, { server: server.address }), 1);
			await assert.rejects(again(), errorWith("failed_precondition", /was called before/));
		} finally {
			delete process.env.MILLRACE_TRIAL_ID;
		}
	});

	const wrong: [string, unknown, RegExp][] = [
		["an unknown option", { lr: 1 }, /unknown option lr of core\.init; it has name, hparams/],
		["a text", "name", /options of core\.init must be an object/],
		["an unknown mode", { preemptMode: "Nobody" }, /preemptMode is "Nobody"; it must be one of "WorkersAskChief"/],
		["a config with an unknown key", { config: { dta: {} } }, /unknown key dta; did you mean data\?/],
		["hparams that are no object", { hparams: [] }, /hparams is an Array; hparams must be a JSON object/],
	];
	for (const [what, options, message] of wrong) {
		it(`refuses ${what}`, async () => {
			await assert.rejects(
				core.init(() => 0, options as object),
				errorWith("invalid_argument", message),
			);
		});
	}

	it("refuses a callback that comes after the options, which would never be called", async () => {
		const swapped = core.init as (...args: unknown[]) => Promise<unknown>;
		await assert.rejects(
			swapped({ server: server.address }, () => 0),
			errorWith("invalid_argument", /core\.init\(callback, options\)/),
		);
	});
});

describe("core.init, with other workers", { timeout: 240_000 }, () => {
	it("returns on none of them before all have returned and the trial is COMPLETED", async () => {
		const trialId = await newTrial();
		const file = join(tempDir(), "go-on");
		const workers = start(trialId, 3, { steps: 3, hold: { step: 3, rank: 2, run: 1, file } });
		await workers[2]?.line(({ call, count }) => call === "step" && count === 3);
		assert.equal((await statesOf(trialId, 1)).run, "RUNNING");
		writeFileSync(file, "");
		for (const { code, lines, stderr } of await ends(workers)) {
			assert.deepEqual([code, lines.at(-1)?.results?.returned], [0, 6], stderr);
		}
		assert.deepEqual(await statesOf(trialId, 1), { run: "COMPLETED", trial: "COMPLETED", reason: "", restarts: 0 });
		assert.deepEqual(await run(trialId, 3, { steps: 3 }), [undefined, undefined, undefined], "it was completed before");
	});

	it("keeps the reports of several ranks for the same step side by side (F.7)", async () => {
		const trialId = await newTrial();
		await run(trialId, 2, { steps: 2 });
		const reports = await client.getTrial(trialId).getMetrics("steps");
		const found = reports.map(({ rank, stepsCompleted, metrics }) => [rank, stepsCompleted, metrics.total]);
		assert.deepEqual(found.sort(), [
			[0, 1, 0],
			[0, 2, 2],
			[1, 1, 1],
			[1, 2, 1],
		]);
	});

	it("fails all when the loop of one throws, and names it", async () => {
		const trialId = await newTrial();
		const [other, thrower] = await ends(start(trialId, 2, { steps: 3, fail: { step: 2, rank: 1, run: 1 } }));
		assert.deepEqual([other?.code, thrower?.code], [1, 1]);
		assert.match(thrower?.stderr ?? "", /planted in a step/);
		assert.match(other?.stderr ?? "", /run 1 of the trial is failed: rank 1 on \S+ failed: planted in a step/);
		assert.deepEqual([(await statesOf(trialId, 1)).trial, (await statesOf(trialId, 1)).restarts], ["ACTIVE", 1]);
	});

	it("fails all when one is killed, names it, and the next run goes on from the latest checkpoint", async () => {
		const trialId = await newTrial();
		const file = join(tempDir(), "never");
		const workers = start(trialId, 2, { steps: 6, every: 2, hold: { step: 5, rank: 1, run: 1, file } });
		await workers[1]?.line(({ call, count }) => call === "step" && count === 5);
		workers[1]?.process.kill("SIGKILL");
		const [other] = await ends(workers);
		assert.equal(other?.code, 1);
		assert.match(other?.stderr ?? "", /rank 1 on \S+ is lost/);

		const [next] = await ends(start(trialId, 1, { steps: 6, every: 2 }));
		assert.equal(next?.code, 0, next?.stderr);
		assert.equal(next?.lines.find(({ call }) => call === "started")?.count, 4);
		assert.equal(next?.lines.at(-1)?.results?.returned, 21);
	});
});

describe("core.init, when the run is asked to stop", { timeout: 240_000 }, () => {
	/** A worker alone takes a moment for a step, and asks the server once a second. */
	const endless = { steps: 10_000_000 };

	/** Starts workers of which rank 0 waits in step 2 of run 1. */
	async function startHeld(world: number, options: object = {}) {
		const trialId = await newTrial();
		const file = join(tempDir(), "go-on");
		const workers = start(trialId, world, { steps: 500, ...options, hold: { step: 2, rank: 0, run: 1, file } });
		await Promise.all(workers.map((worker) => worker.line(({ call }) => call === "step")));
		await workers[0]?.line(({ call, count }) => call === "step" && count === 2);
		return { trialId, workers, goOn: () => writeFileSync(file, "") };
	}

	/** Checks that all have stored and returned at the same step, and goes on to the end. */
	async function goesOn(trialId: number, workers: readonly Worker[], world: number): Promise<void> {
		const ended = await ends(workers);
		const lastSteps = ended.map(({ lines }) => lines.filter(({ call }) => call === "step").at(-1)?.count ?? 0);
		for (const { code, lines, stderr } of ended) {
			assert.deepEqual([code, lines.at(-1)?.results?.returned], [75, "stopped"], stderr);
		}
		assert.equal(new Set(lastSteps).size, 1, `all stop at the same step: ${lastSteps}`);
		const steps = (lastSteps[0] ?? 0) + 2;
		const returned = await run(trialId, world, { steps });
		assert.deepEqual(returned, Array(world).fill((steps * (steps + 1)) / 2));
	}

	it("stops all workers at the same step when the trial is paused, and goes on once it is activated", async () => {
		const { trialId, workers, goOn } = await startHeld(2);
		await client.getTrial(trialId).pause();
		goOn();
		await ends(workers);
		const { run, trial, reason, restarts } = await statesOf(trialId, 1);
		assert.deepEqual([run, trial, reason, restarts], ["PREEMPTED", "PAUSED", "the trial was asked to pause", 0]);
		await client.getTrial(trialId).activate();
		await goesOn(trialId, workers, 1);
	});

	it("stops all workers when one of them gets SIGTERM, and the next run may start at once", async () => {
		const { trialId, workers, goOn } = await startHeld(2);
		workers[1]?.process.kill("SIGTERM");
		goOn();
		await ends(workers);
		const { run, trial, reason } = await statesOf(trialId, 1);
		assert.deepEqual([run, trial], ["PREEMPTED", "ACTIVE"]);
		assert.match(reason, /^SIGTERM to rank 1 on /);
		await goesOn(trialId, workers, 3);
	});

	it("lets a script say by itself whether it stops because it was asked to, or is done", async () => {
		for (const [acknowledge, state, code] of [
			[true, "PREEMPTED", 75],
			[false, "COMPLETED", 0],
		] as const) {
			const { trialId, workers, goOn } = await startHeld(1, { ...endless, acknowledge });
			await client.getTrial(trialId).pause();
			goOn();
			const [end] = await ends(workers);
			assert.equal(end?.code, code, end?.stderr);
			assert.equal((await statesOf(trialId, 1)).run, state);
		}
		const refused = core.init(({ preempt }) => preempt.acknowledgePreemptionSignal(), { server: server.address });
		await assert.rejects(refused, errorWith("failed_precondition", /nobody has asked this run to stop/));
	});

	it("ends as preempted what has stopped, though the request was taken back meanwhile", async () => {
		const { trialId, workers, goOn } = await startHeld(1, { ...endless, preemptMode: "WorkersAskMaster" });
		await client.getTrial(trialId).pause();
		goOn();
		await workers[0]?.line(({ call }) => call === "stored");
		await client.getTrial(trialId).activate();
		const [end] = await ends(workers);
		assert.equal(end?.code, 75, end?.stderr);
		assert.equal((await statesOf(trialId, 1)).run, "PREEMPTED");
	});

	for (const preemptMode of ["ChiefOnly", "WorkersAskMaster"] as const) {
		it(`lets scripts tell each other in the mode ${preemptMode}`, async () => {
			const { trialId, workers, goOn } = await startHeld(2, { preemptMode });
			await client.getTrial(trialId).pause();
			goOn();
			await ends(workers);
			assert.equal((await statesOf(trialId, 1)).run, "PREEMPTED");
			await client.getTrial(trialId).activate();
			await goesOn(trialId, workers, 2);
		});
	}
});
