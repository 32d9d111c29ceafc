import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, it } from "node:test";
import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import { TrialRunState } from "../../../src/gen/millrace/v1/trial_pb.js";
import { TrialService } from "../../../src/gen/millrace/v1/trial_service_pb.js";
import { errorWith } from "../../support/error-with.js";
import { startTestServer } from "../../support/start-test-server.js";
import { startTrial } from "../start-trial.js";

const server = await startTestServer();
const trials = server.client(TrialService);

/** Starts a run without members, as a script does. */
async function startScript() {
	const trialId = await startTrial(server);
	const { trialRun } = await trials.startTrialRun({ trialId });
	return { trialId, trialRunId: trialRun?.trialRunId ?? 0 };
}

async function get(trialId: number) {
	const { trial } = await trials.getTrial({ trialId });
	assert.ok(trial);
	return trial;
}

describe("TrialService.ReportTrialProgress", { timeout: 60_000 }, () => {
	it("shows the newest report as the trial's progress", async () => {
		const run = await startScript();
		assert.equal((await get(run.trialId)).progress, 0);
		await trials.reportTrialProgress({ ...run, progress: 0.75 });
		await trials.reportTrialProgress({ ...run, progress: 0.25 });
		assert.equal((await get(run.trialId)).progress, 0.25);
	});

	it("gives way to 1 when the trial is completed", async () => {
		const run = await startScript();
		await trials.reportTrialProgress({ ...run, progress: 0.5 });
		await trials.endTrialRun({ ...run, state: TrialRunState.COMPLETED });
		assert.equal((await get(run.trialId)).progress, 1);
	});

	it("refuses what is not from 0 to 1, a closed run, and one that there is not", async () => {
		const run = await startScript();
		for (const progress of [Number.NaN, -0.1, 1.0001, Number.POSITIVE_INFINITY]) {
			await assert.rejects(
				trials.reportTrialProgress({ ...run, progress }),
				errorWith("invalid_argument", /progress is .*; it must be a number from 0 to 1/),
			);
		}
		await assert.rejects(
			trials.reportTrialProgress({ ...run, trialRunId: 2 }),
			errorWith("not_found", /trial \d+ has no run 2/),
		);
		await assert.rejects(
			trials.reportTrialProgress({ trialId: 999, trialRunId: 1 }),
			errorWith("not_found", /trial 999 not found/),
		);
		await trials.endTrialRun({ ...run, state: TrialRunState.FAILED });
		await assert.rejects(
			trials.reportTrialProgress({ ...run, progress: 1 }),
			errorWith("failed_precondition", /run 1 of trial \d+ is closed as FAILED/),
		);
	});
});

describe("TrialService.SetTrialStatus", { timeout: 60_000 }, () => {
	it("shows the newest status, while a run is open only", async () => {
		const run = await startScript();
		await trials.setTrialStatus({ ...run, status: "loading" });
		await trials.setTrialStatus({ ...run, status: "training, epoch 1" });
		assert.equal((await get(run.trialId)).status, "training, epoch 1");
		await assert.rejects(
			trials.setTrialStatus({ ...run, status: "x".repeat(201) }),
			errorWith("invalid_argument", /status has 201 characters; at most 200/),
		);
		await trials.endTrialRun({ ...run, state: TrialRunState.FAILED });
		await assert.rejects(trials.setTrialStatus({ ...run, status: "late" }), errorWith("failed_precondition", /closed/));
		assert.equal((await get(run.trialId)).status, "training, epoch 1");
	});
});

describe("TrialService.UpdateTrialMetadata", { timeout: 60_000 }, () => {
	it("clears, removes and sets in one change, without a run, and answers with all metadata", async () => {
		const trialId = await startTrial(server);
		assert.deepEqual((await get(trialId)).metadata, {});
		const first = await trials.updateTrialMetadata({ trialId, metadata: { set: { a: 1, b: { c: [true, null] } } } });
		assert.deepEqual(first.metadata, { a: 1, b: { c: [true, null] } });
		const change = { remove: ["a", "gone"], set: { d: "new" } };
		assert.deepEqual((await trials.updateTrialMetadata({ trialId, metadata: change })).metadata, {
			b: { c: [true, null] },
			d: "new",
		});
		await trials.updateTrialMetadata({ trialId, metadata: { clear: true, set: { e: 1 } } });
		assert.deepEqual((await get(trialId)).metadata, { e: 1 });
	});

	it("gives a repeated request its first answer", async () => {
		const trialId = await startTrial(server);
		const request = { requestId: randomUUID(), trialId, metadata: { set: { a: 1 } } };
		const first = await trials.updateTrialMetadata(request);
		await trials.updateTrialMetadata({ trialId, metadata: { set: { a: 2 } } });
		assert.deepEqual(await trials.updateTrialMetadata(request), first);
		assert.deepEqual((await get(trialId)).metadata, { a: 2 });
	});

	it("keeps what two writers add at once (F.53)", async () => {
		const trialId = await startTrial(server);
		const add = async (writer: string) => {
			for (let i = 0; i < 200; i++) {
				await trials.updateTrialMetadata({ trialId, metadata: { set: { [`${writer}${i}`]: i } } });
			}
		};
		await Promise.all([add("a"), add("b")]);
		assert.equal(Object.keys((await get(trialId)).metadata ?? {}).length, 400);
	});

	const levels = (count: number): JsonObject => {
		let value: JsonValue = {};
		for (let i = 1; i < count; i++) {
			value = { deeper: value };
		}
		return value as JsonObject;
	};
	const manyKeys = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, i) => [`k${i}`, i]));
	const limits: readonly [name: string, most: JsonObject, more: JsonObject, message: RegExp][] = [
		[
			"a key of 50 characters",
			{ ["k".repeat(50)]: 1 },
			{ ["k".repeat(51)]: 1 },
			/"k{51}" in metadata has 51 characters/,
		],
		...["$", ".", "[", "]"].map((sign): [string, JsonObject, JsonObject, RegExp] => [
			`a key without ${sign}`,
			{ outer: { "a-b_c d": 1 } },
			{ outer: { [`a${sign}b`]: 1 } },
			/the key ".*" in metadata\.outer has a ".*"; a key has none of \$ \. \[ \]/,
		]),
		[
			"a string of 5,000 characters",
			{ a: { b: "x".repeat(5_000) } },
			{ a: { b: "x".repeat(5_001) } },
			/metadata\.a\.b has 5001 characters; at most 5,000/,
		],
		["10 levels", levels(10), levels(11), /metadata(\.deeper){10} is on level 11; at most 10 levels/],
		[
			"an array of 100 items",
			{ a: Array.from({ length: 100 }, () => 1) },
			{ a: Array.from({ length: 101 }, () => 1) },
			/metadata\.a has 101 items; at most 100/,
		],
		[
			"1,000 keys in all",
			{ a: manyKeys(999) },
			{ a: manyKeys(500), b: { c: manyKeys(498) } },
			/metadata has more than 1000 keys in all, with those of metadata\.b\.c/,
		],
	];
	for (const [name, most, more, message] of limits) {
		it(`permits ${name}, and no more`, async () => {
			const trialId = await startTrial(server);
			await trials.updateTrialMetadata({ trialId, metadata: { set: most } });
			await assert.rejects(
				trials.updateTrialMetadata({ trialId, metadata: { clear: true, set: more } }),
				errorWith("invalid_argument", message),
			);
			assert.deepEqual((await get(trialId)).metadata, most);
		});
	}

	it("counts what is there and what is set together", async () => {
		const trialId = await startTrial(server);
		await trials.updateTrialMetadata({ trialId, metadata: { set: manyKeys(1_000) } });
		await assert.rejects(
			trials.updateTrialMetadata({ trialId, metadata: { set: { other: 1 } } }),
			errorWith("invalid_argument", /more than 1000 keys/),
		);
		await trials.updateTrialMetadata({ trialId, metadata: { remove: ["k0"], set: { other: 1 } } });
		await assert.rejects(trials.updateTrialMetadata({ trialId }), errorWith("invalid_argument", /metadata is missing/));
		await assert.rejects(
			trials.updateTrialMetadata({ trialId: 999, metadata: { set: {} } }),
			errorWith("not_found", /trial 999 not found/),
		);
	});
});
