import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { ExperimentService } from "../../src/gen/millrace/v1/experiment_service_pb.js";
import { TrialState } from "../../src/gen/millrace/v1/trial_pb.js";
import { TrialService } from "../../src/gen/millrace/v1/trial_service_pb.js";
import { connect } from "../../src/sdk/connect.js";
import { openConnection } from "../../src/sdk/connection.js";
import { startServer } from "../../src/server/index.js";
import { memberAs } from "../rendezvous/attend-ranks.js";
import { startTrial } from "../server/start-trial.js";
import { errorWith } from "../support/error-with.js";
import { noSmallDisk, smallDisk } from "../support/small-disk.js";
import { startTestServer } from "../support/start-test-server.js";
import { startWorkers } from "../support/start-workers.js";
import { tempDir } from "../support/temp-dir.js";
import { waitUntil } from "../support/wait-until.js";
import { checkCompleted } from "./check-trial.js";

const megabyte = 1024 * 1024;

describe("a server whose disk is full", { skip: noSmallDisk, timeout: 120_000 }, () => {
	it("refuses writes with what to do, answers reads, and takes writes again when there is room", async () => {
		const disk = smallDisk(2 * megabyte);
		const server = await startTestServer({ dataDirectory: disk.directory });
		const connection = openConnection(server.address, { connectMs: 5_000, retryMs: 1_500 });
		try {
			const { experiment } = await connection.experiments.createExperiment({ config: { name: "first" } });
			disk.fill();
			const calls = Array.from({ length: 20 }, () =>
				assert.rejects(
					connection.experiments.createExperiment({ requestId: randomUUID(), config: { name: "second" } }),
					errorWith(
						"unavailable",
						/^the Millrace server at \S+ refuses the call( after \d\.\d s)?: the disk of the data directory \S+ is full \(\d+ of 2097152 bytes are left\); free space on it$/,
					),
				),
			);
			await Promise.all(calls);
			const found = await connection.experiments.getExperiment({ experimentId: experiment?.id ?? 0 });
			assert.equal(found.experiment?.name, "first");
			assert.equal(server.logged.length, 1, server.logged.join("\n"));
			assert.match(server.logged[0] ?? "", /nothing can be written, and callers wait: the disk of .* is full/);
			disk.free();
			await connection.experiments.createExperiment({ requestId: randomUUID(), config: { name: "third" } });
			const { experiments } = await connection.experiments.listExperiments({});
			assert.deepEqual(
				experiments.map(({ name }) => name),
				["third", "first"],
			);
		} finally {
			connection.close();
		}
	});

	it("makes a run wait, which loses nothing", async () => {
		const disk = smallDisk(3 * megabyte);
		const server = await startTestServer({ dataDirectory: disk.directory });
		const trialId = await startTrial(server, { storage: tempDir() });
		const held = join(tempDir(), "go");
		const workers = startWorkers({
			server: server.address,
			world: 2,
			trialId,
			options: (rank) => ({
				records: 80,
				batchSize: 4,
				checkpointInterval: 2,
				hold: { call: "processBatch", count: 3, rank, run: 1, file: held },
			}),
		});
		await Promise.all(
			workers.map((worker) => worker.line(({ call, count }) => call === "processBatch" && count === 3)),
		);
		disk.fill();
		writeFileSync(held, "");
		await waitUntil("the first write to be refused", () => server.logged.length > 0);
		const { trial: waiting } = await server.client(TrialService).getTrial({ trialId });
		assert.equal(waiting?.state, TrialState.ACTIVE);
		disk.free();
		const ends = await Promise.all(workers.map((worker) => worker.ended));
		assert.deepEqual(
			ends.map(({ code, stderr }) => [code, stderr]),
			[
				[0, ""],
				[0, ""],
			],
		);
		assert.equal(server.logged.length, 1, server.logged.join("\n"));
		const { trial } = await server.client(TrialService).getTrial({ trialId });
		assert.deepEqual([trial?.restarts, trial?.trialRunId], [0, 1]);
		await checkCompleted(server.address, trialId, 80);
	});

	it("lets workers wait for their places", async () => {
		const disk = smallDisk(2 * megabyte);
		const server = await startTestServer({ dataDirectory: disk.directory });
		const trialId = await startTrial(server, { storage: tempDir() });
		disk.fill();
		const workers = startWorkers({ server: server.address, world: 2, trialId, options: { records: 20, batchSize: 5 } });
		await waitUntil("the first join to be refused", () => server.logged.length > 0);
		disk.free();
		for (const { code, stderr } of await Promise.all(workers.map((worker) => worker.ended))) {
			assert.equal(code, 0, stderr);
		}
		await checkCompleted(server.address, trialId, 20);
	});

	it("says why there is no place when that lasts", async () => {
		const disk = smallDisk(2 * megabyte);
		const server = await startTestServer({ dataDirectory: disk.directory });
		const trialId = await startTrial(server);
		disk.fill();
		await assert.rejects(
			memberAs(server.address, { trialId }, { connectMs: 500, retryMs: 1_000 }),
			errorWith("unavailable", /^no place in the run from \S+ for 1 s: the disk of the data directory \S+ is full/),
		);
	});

	it("stops as usual, and the next one has all that was acknowledged", async () => {
		const disk = smallDisk(2 * megabyte);
		const first = await startTestServer({ dataDirectory: disk.directory });
		const experiments = first.client(ExperimentService);
		for (let i = 0; i < 5; i++) {
			await experiments.createExperiment({ config: { name: `experiment ${i}` } });
		}
		disk.fill();
		await first.close();
		disk.free();
		const second = await startTestServer({ dataDirectory: disk.directory });
		const { experiments: found } = await second.client(ExperimentService).listExperiments({});
		assert.equal(found.length, 5);
	});

	it("does not start, and says why", async () => {
		const disk = smallDisk(megabyte);
		disk.fill();
		await assert.rejects(
			startServer({ dataDirectory: join(disk.directory, "data"), port: 0 }),
			errorWith("unavailable", /^the disk of the data directory \S+ is full/),
		);
		// An embedded one cannot even write why to its log.
		await assert.rejects(
			connect({ dataDirectory: disk.directory }),
			errorWith("failed_precondition", /did not start: the disk of the data directory \S+ is full; free space on it$/),
		);
	});
});
