import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { TrialService } from "../../src/gen/millrace/v1/trial_service_pb.js";
import { startTrial } from "../server/start-trial.js";
import { noSmallDisk, type SmallDisk, smallDisk } from "../support/small-disk.js";
import { startTestServer } from "../support/start-test-server.js";
import { startWorkers } from "../support/start-workers.js";
import { tempDir } from "../support/temp-dir.js";
import { checkCompleted, checkNoStrayFiles } from "./check-trial.js";

// Each worker writes two and a half pages of the disk, so that it runs out of them after its first commits.
const records = 4_000;
const options = { records, batchSize: 100, checkpointInterval: 2 };

const faults: [what: string, start: (disk: SmallDisk) => void, end: (disk: SmallDisk) => void, message: RegExp][] = [
	[
		"full",
		(disk) => disk.fill(),
		(disk) => disk.free(),
		/the output storage is full \(0 bytes are left\): a file below \/\S+\/r\d-w\d-p0-\S+: ENOSPC: .*; free space on it, then run the trial again, which goes on after the last commit/,
	],
	[
		"read-only",
		(disk) => disk.setReadOnly(true),
		(disk) => disk.setReadOnly(false),
		/the output storage cannot be written: \/\S+\/values\.txt: EROFS: .*; make it writable, then run the trial again, which goes on after the last commit/,
	],
];

describe("an output storage that takes nothing more", { skip: noSmallDisk, timeout: 180_000 }, () => {
	for (const [what, start, end, message] of faults) {
		it(`fails the run where it is ${what}, and loses nothing`, async () => {
			const server = await startTestServer();
			const disk = smallDisk(1024 * 1024);
			const trialId = await startTrial(server, { storage: disk.directory });
			const go = join(tempDir(), "go");
			const first = startWorkers({
				server: server.address,
				world: 2,
				trialId,
				options: (rank) => ({ ...options, hold: { call: "processBatch", count: 5, rank, run: 1, file: go } }),
			});
			await Promise.all(
				first.map((worker) => worker.line(({ call, count }) => call === "processBatch" && count === 5)),
			);
			start(disk);
			writeFileSync(go, "");
			const ends = await Promise.all(first.map((worker) => worker.ended));
			// One of them is first; the other learns of it, or meets the same.
			assert.deepEqual(
				ends.map(({ code }) => code),
				[1, 1],
			);
			assert.ok(
				ends.some(({ stderr }) => message.test(stderr)),
				ends.map(({ stderr }) => stderr).join("\n"),
			);
			const { trial } = await server.client(TrialService).getTrial({ trialId });
			assert.equal(trial?.restarts, 1);
			const done = Number(trial?.recordsDone);
			assert.ok(done > 0 && done < records, `${done} records are done`);
			const { trialRun } = await server.client(TrialService).getTrialRun({ trialId, trialRunId: 1 });
			assert.match(trialRun?.reason ?? "", message);
			end(disk);
			const again = startWorkers({ server: server.address, world: 2, trialId, options });
			for (const { code, stderr } of await Promise.all(again.map((worker) => worker.ended))) {
				assert.equal(code, 0, stderr);
			}
			await checkCompleted(server.address, trialId, records);
			await checkNoStrayFiles(server.address, trialId, disk.directory);
		});
	}
});
