import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import type { Checkpoint, ModelVersion, Trial } from "../../src/sdk/index.js";
import { errorWith } from "../support/error-with.js";
import { seedTrial } from "../support/seed-trial.js";
import { tempDir } from "../support/temp-dir.js";
import { useTestClient } from "../support/use-test-client.js";

const test = useTestClient();

async function uploadCheckpoint(): Promise<Checkpoint> {
	const directory = join(tempDir(), "model");
	mkdirSync(directory);
	writeFileSync(join(directory, "weights.bin"), `${Math.random()}`);
	return test.client.uploadCheckpoint(directory);
}

/** A trial that has reported, and whose run is over or not as it likes: a link needs none. */
async function reportedTrial(): Promise<Trial> {
	const { trial, report } = await seedTrial(test.connection);
	await report("inference", [{ accuracy: 0.5 }]);
	await trial.kill();
	return trial;
}

const trialsOf = async (source: Checkpoint | ModelVersion) =>
	(await source.getMetrics("inference")).map(({ trialId }) => trialId);

describe("linking a trial outside of a run", { timeout: 60_000 }, () => {
	it("finds its metrics by the checkpoint, given in any form, and never does nothing (F.27)", async () => {
		const checkpoint = await uploadCheckpoint();
		const trials: number[] = [];
		for (const form of [checkpoint, checkpoint.uuid, test.client.getCheckpoint(checkpoint.uuid)]) {
			const trial = await reportedTrial();
			assert.deepEqual(await trialsOf(checkpoint), trials);
			await trial.reportTaskUsingCheckpoint(form);
			await trial.reportTaskUsingCheckpoint(form);
			trials.push(trial.id);
			assert.deepEqual(await trialsOf(checkpoint), trials);
		}
	});

	it("finds its metrics by the model version, and by that version's checkpoint (F.27)", async () => {
		const checkpoint = await uploadCheckpoint();
		const model = await test.client.createModel("linked");
		const version = await model.registerVersion(checkpoint.uuid);
		const [first, second] = [await reportedTrial(), await reportedTrial()];
		await first.reportTaskUsingModelVersion(version);
		await test.client.getTrial(second.id).reportTaskUsingModelVersion(test.client.getModel("linked").getVersion());
		assert.deepEqual(await trialsOf(version), [first.id, second.id]);
		assert.deepEqual(await trialsOf(checkpoint), [first.id, second.id]);
	});

	it("refuses what does not exist, and what is none", async () => {
		const trial = await reportedTrial();
		const unknown = "00000000-0000-4000-8000-000000000000";
		await assert.rejects(trial.reportTaskUsingCheckpoint(unknown), errorWith("not_found", new RegExp(unknown)));
		await assert.rejects(trial.reportTaskUsingCheckpoint("mine"), errorWith("invalid_argument", /must be a UUID/));
		await assert.rejects(
			trial.reportTaskUsingCheckpoint({} as never),
			errorWith("invalid_argument", /the checkpoint is not a checkpoint; give its UUID/),
		);
		const empty = await test.client.createModel("without versions");
		await assert.rejects(
			trial.reportTaskUsingModelVersion(empty.getVersion()),
			errorWith("invalid_argument", /the model has no version/),
		);
		await assert.rejects(
			trial.reportTaskUsingModelVersion(7 as never),
			errorWith("invalid_argument", /the model version is 7/),
		);
		await assert.rejects(
			trial.reportTaskUsingModelVersion({ modelId: empty.modelId, modelVersion: 3 }),
			errorWith("not_found", /version 3/),
		);
	});
});

describe("Trial", { timeout: 60_000 }, () => {
	it("shows what its program says of itself: progress, status and metadata", async () => {
		const { trial } = await seedTrial(test.connection);
		const { trials } = test.connection;
		const run = { trialId: trial.id, trialRunId: 1 };
		await trials.reportTrialProgress({ ...run, progress: 0.25 });
		await trials.setTrialStatus({ ...run, status: "loading" });
		await trials.updateTrialMetadata({ trialId: trial.id, metadata: { set: { user_key: { deeper: [1] } } } });
		await trial.reload();
		const { progress, status, metadata } = trial;
		assert.deepEqual(
			{ progress, status, metadata },
			{
				progress: 0.25,
				status: "loading",
				metadata: { user_key: { deeper: [1] } },
			},
		);
	});
});
