import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { TrialRunState } from "../../src/gen/millrace/v1/trial_pb.js";
import { Client, type Experiment, type ListExperimentsOptions, type Trial } from "../../src/sdk/index.js";
import { startServer } from "../../src/server/server.js";
import { errorWith } from "../support/error-with.js";
import { tempDir } from "../support/temp-dir.js";
import { useTestClient } from "../support/use-test-client.js";

const test = useTestClient();

/** Creates an experiment with some trials that wait. */
async function create(trialCount = 0, config = {}): Promise<{ experiment: Experiment; trials: Trial[] }> {
	const experiment = await test.client.createExperiment({ name: "digits", ...config });
	const trials: Trial[] = [];
	for (let i = 0; i < trialCount; i++) {
		trials.push(await test.client.createTrial(experiment.id, { maxRestarts: 0 }));
	}
	return { experiment, trials };
}

/** Runs a trial to its end, as a script does. */
async function end(trial: Trial, state: TrialRunState): Promise<void> {
	const { trialRun } = await test.connection.trials.startTrialRun({ trialId: trial.id });
	await test.connection.trials.endTrialRun({ trialId: trial.id, trialRunId: trialRun?.trialRunId ?? 0, state });
}

describe("Experiment", { timeout: 120_000 }, () => {
	it("has the fields of its record", async () => {
		const { experiment } = await create(2, { description: "of MNIST", labels: ["a,b", "c"] });
		await experiment.reload();
		const { id, state, labels, name, description, notes, progress, archived, username, trialCount, projectId } =
			experiment;
		assert.ok(id >= 1);
		assert.deepEqual(
			{ state, labels, name, description, notes, progress, archived, username, trialCount, projectId },
			{
				...{ state: "ACTIVE", labels: ["a,b", "c"], name: "digits", description: "of MNIST", notes: "", progress: 0 },
				...{ archived: false, username: "determined", trialCount: 2, projectId: 1 },
			},
		);
		assert.ok(experiment.creationTime.getTime() > Date.now() - 60_000);
		assert.equal(experiment.endTime, null);
	});

	it("sets name, description and notes, and shows them at once", async () => {
		const { experiment } = await create();
		await experiment.setName("letters");
		await experiment.setDescription("of EMNIST");
		await experiment.setNotes("# Notes");
		const { name, description, notes, config } = experiment;
		assert.deepEqual([name, description, notes, config.name], ["letters", "of EMNIST", "# Notes", "digits"]);
		const again = await test.client.getExperiment(experiment.id);
		assert.deepEqual([again.name, again.description, again.notes], ["letters", "of EMNIST", "# Notes"]);
		await assert.rejects(experiment.setName(" "), errorWith("invalid_argument", /name is blank/));
		await assert.rejects(
			experiment.setName(7 as never),
			errorWith("invalid_argument", /name is 7; it must be a string/),
		);
	});

	it("adds, removes and sets labels, which may hold commas (F.38)", async () => {
		const { experiment } = await create(0, { labels: ["a"] });
		await experiment.addLabel("b, c");
		await experiment.addLabel("a");
		assert.deepEqual(experiment.labels, ["a", "b, c"]);
		await experiment.removeLabel("a");
		await experiment.removeLabel("gone");
		assert.deepEqual(experiment.labels, ["b, c"]);
		await experiment.setLabels(["z", "y", "z"]);
		assert.deepEqual(experiment.labels, ["z", "y"]);
		await experiment.setLabels([]);
		assert.deepEqual((await test.client.getExperiment(experiment.id)).labels, []);
		await assert.rejects(experiment.addLabel(""), errorWith("invalid_argument", /add_labels\[0\] is empty/));
		await assert.rejects(
			experiment.setLabels("a" as never),
			errorWith("invalid_argument", /labels is "a"; it must be an/),
		);
	});

	it("keeps the labels that two writers add at once (F.53)", async () => {
		const { experiment } = await create();
		const twin = await test.client.getExperiment(experiment.id);
		const labels = Array.from({ length: 40 }, (_, i) => `label ${i}`);
		await Promise.all(labels.map((label, i) => (i % 2 === 0 ? experiment : twin).addLabel(label)));
		await experiment.reload();
		assert.deepEqual(experiment.labels.toSorted(), labels.toSorted());
	});

	it("is not changed while it is archived, and is not archived while a trial may run", async () => {
		const { experiment, trials } = await create(1);
		await assert.rejects(
			experiment.archive(),
			errorWith("failed_precondition", /trial \d+ of experiment \d+ is ACTIVE; cancel or kill the experiment/),
		);
		await end(trials[0] as Trial, TrialRunState.FAILED);
		await experiment.archive();
		await experiment.archive();
		assert.equal(experiment.archived, true);
		for (const change of [
			() => experiment.setName("x"),
			() => experiment.addLabel("x"),
			() => experiment.activate(),
			() => test.client.createTrial(experiment.id),
			() => (trials[0] as Trial).activate(),
			() => test.connection.trials.startTrialRun({ trialId: trials[0]?.id ?? 0 }),
		]) {
			await assert.rejects(
				change(),
				errorWith("failed_precondition", /experiment \d+ is archived; unarchive it first/),
			);
		}
		await experiment.unarchive();
		await experiment.unarchive();
		assert.equal(experiment.archived, false);
		await experiment.setName("x");
		await experiment.activate();
		assert.equal(experiment.state, "ACTIVE");
	});

	it("pauses, activates, cancels and kills all its trials", async () => {
		const { experiment, trials } = await create(3);
		const states = async () => {
			const all = await experiment.listTrials({ sortBy: "ID" });
			return all.map(({ state }) => state);
		};
		await end(trials[0] as Trial, TrialRunState.COMPLETED);
		await experiment.pause();
		assert.deepEqual([experiment.state, ...(await states())], ["PAUSED", "COMPLETED", "PAUSED", "PAUSED"]);
		await experiment.activate();
		assert.deepEqual([experiment.state, ...(await states())], ["ACTIVE", "COMPLETED", "ACTIVE", "ACTIVE"]);
		const { trialRun } = await test.connection.trials.startTrialRun({ trialId: trials[1]?.id ?? 0 });
		assert.ok(trialRun);
		await experiment.cancel();
		assert.deepEqual([experiment.state, ...(await states())], ["ACTIVE", "COMPLETED", "ACTIVE", "CANCELED"]);
		await experiment.kill();
		assert.deepEqual([experiment.state, ...(await states())], ["CANCELED", "COMPLETED", "CANCELED", "CANCELED"]);
		assert.ok(experiment.endTime !== null);
	});

	it("is deleted with its trials, once nothing of it may run", async () => {
		const { experiment, trials } = await create(1);
		await assert.rejects(
			experiment.delete(),
			errorWith("failed_precondition", /is ACTIVE; cancel or kill the experiment/),
		);
		await experiment.kill();
		await experiment.delete();
		await assert.rejects(experiment.reload(), errorWith("not_found", /experiment \d+ not found/));
		await assert.rejects(trials[0]?.reload() ?? Promise.resolve(), errorWith("not_found", /trial \d+ not found/));
		await assert.rejects(experiment.delete(), errorWith("not_found", /experiment \d+ not found/));
	});

	it("lists its trials in any order, of a state, over several requests", async () => {
		const { experiment, trials } = await create(5);
		const ids = trials.map(({ id }) => id);
		await create(1);
		const idsOf = (found: readonly Trial[]) => found.map(({ id }) => id);
		assert.deepEqual(idsOf(await experiment.listTrials()), ids.toReversed());
		assert.deepEqual(idsOf(await experiment.listTrials({ limit: 2, sortBy: "START_TIME" })), ids);
		assert.deepEqual(idsOf(await experiment.iterTrials({ limit: 2, sortBy: "ID", orderBy: "DESC" })), ids.toReversed());
		await trials[2]?.pause();
		const paused = test.client.getExperiment(experiment.id).listTrials({ states: ["PAUSED"], sortBy: "DURATION" });
		assert.deepEqual(idsOf(await paused), [ids[2]]);
		assert.deepEqual(
			idsOf(await test.client.listTrials({ experimentId: experiment.id, orderBy: "ASC", limit: 3 })),
			ids,
		);
		await assert.rejects(
			Promise.resolve(experiment.listTrials({ sortBy: "LOSS" as never })),
			errorWith("invalid_argument", /sortBy is "LOSS"; it must be one of "ID", /),
		);
		await assert.rejects(
			Promise.resolve(test.client.listTrials({ sortBy: "STATE" })),
			errorWith("invalid_argument", /without an experiment_id/),
		);
		await assert.rejects(
			Promise.resolve(experiment.listTrials({ limit: 0 })),
			errorWith("invalid_argument", /limit is 0/),
		);
		await assert.rejects(
			Promise.resolve(experiment.iterTrials("ID" as never)),
			errorWith("invalid_argument", /options of listTrials must be an object: \{ sortBy: "ID" \}/),
		);
	});

	it("waits for its first trial", async () => {
		const { experiment } = await create();
		const first = test.client.getExperiment(experiment.id).awaitFirstTrial({ interval: 0.01 });
		const trial = await test.client.createTrial(experiment.id);
		await test.client.createTrial(experiment.id);
		assert.equal((await first).id, trial.id);
		assert.equal((await experiment.awaitFirstTrial()).id, trial.id);
		await assert.rejects(
			experiment.awaitFirstTrial({ interval: 0 }),
			errorWith("invalid_argument", /interval is 0; it must be a number of seconds/),
		);
		await assert.rejects(test.client.getExperiment(9_999).awaitFirstTrial(), errorWith("not_found", /9999 not found/));
	});

	it("waits for its end, whatever that is", async () => {
		for (const [state, expected] of [
			[TrialRunState.COMPLETED, "COMPLETED"],
			[TrialRunState.FAILED, "ERROR"],
			[TrialRunState.KILLED, "CANCELED"],
		] as const) {
			const { experiment, trials } = await create(1);
			const waiting = experiment.wait({ interval: 0.01 });
			await end(trials[0] as Trial, state);
			assert.equal(await waiting, expected);
			assert.equal(experiment.state, expected);
		}
	});

	it("waits for its end while the server is restarted", async () => {
		const dataDirectory = tempDir();
		let server = await startServer({ dataDirectory, port: 0 });
		const port = Number(server.address.split(":").at(-1));
		const client = new Client({ server: server.address });
		try {
			const experiment = await client.createExperiment({ name: "restarted" });
			const trial = await client.createTrial(experiment.id);
			const waiting = experiment.wait({ interval: 0.01 });
			await server.close();
			server = await startServer({ dataDirectory, port });
			await trial.kill();
			assert.equal(await waiting, "CANCELED");
		} finally {
			await client.close();
			await server.close();
		}
	});
});

describe("client.listExperiments", { timeout: 60_000 }, () => {
	it("sorts and filters as the server does, with every option", async () => {
		const one = await test.client.createExperiment({ name: "50% of it", labels: ["one,two"], description: "first" });
		const two = await test.client.createExperiment({ name: "500", description: "second" });
		await two.archive();
		const experimentIds = [one.id, two.id];
		const idsOf = async (options: ListExperimentsOptions) =>
			(await test.client.listExperiments({ experimentIds, ...options })).map(({ id }) => id);
		assert.deepEqual(await idsOf({}), [two.id, one.id]);
		assert.deepEqual(await idsOf({ sortBy: "NAME" }), [one.id, two.id]);
		assert.deepEqual(await idsOf({ sortBy: "DESCRIPTION", orderBy: "DESC" }), [two.id, one.id]);
		assert.deepEqual(await idsOf({ name: "50%" }), [one.id]);
		assert.deepEqual(await idsOf({ description: "SECOND" }), [two.id]);
		assert.deepEqual(await idsOf({ labels: ["one,two"] }), [one.id]);
		assert.deepEqual(await idsOf({ users: ["nobody"] }), []);
		assert.deepEqual(await idsOf({ users: ["determined"], states: ["ACTIVE"], projectId: 1 }), [two.id, one.id]);
		assert.deepEqual(await idsOf({ states: ["PAUSED", "ERROR"] }), []);
		assert.deepEqual(await idsOf({ archived: true }), [two.id]);
		assert.deepEqual(await idsOf({ projectId: 2 }), []);
	});

	it("refuses options that are not of their type", async () => {
		const wrong: readonly [options: object, message: RegExp][] = [
			[{ sortBy: "LOSS" }, /sortBy is "LOSS"; it must be one of "ID", "NAME"/],
			[{ orderBy: "UP" }, /orderBy is "UP"; it must be one of "ASC", "DESC"/],
			[{ experimentIds: ["1"] }, /experimentIds\[0\] is "1"/],
			[{ experimentIds: 1 }, /experimentIds is 1; it must be an array/],
			[{ labels: "a" }, /labels is "a"/],
			[{ users: [1] }, /users\[0\] is 1/],
			[{ states: ["RUNNING"] }, /states\[0\] is "RUNNING"; it must be one of "ACTIVE"/],
			[{ name: 1 }, /name is 1/],
			[{ archived: "yes" }, /archived is "yes"/],
			[{ projectId: 0 }, /projectId is 0/],
		];
		for (const [options, message] of wrong) {
			await assert.rejects(
				Promise.resolve(test.client.listExperiments(options)),
				errorWith("invalid_argument", message),
			);
		}
	});
});
