import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import { MetricService } from "../../src/gen/millrace/v1/metric_service_pb.js";
import { TrialRunState } from "../../src/gen/millrace/v1/trial_pb.js";
import { type Connection, openConnection } from "../../src/sdk/connection.js";
import { Client } from "../../src/sdk/index.js";
import { errorWith } from "../support/error-with.js";
import { restartableServer } from "../support/restartable-server.js";
import { seedTrial } from "../support/seed-trial.js";
import { startTestServer } from "../support/start-test-server.js";
import { waitUntil } from "../support/wait-until.js";

// Enough bytes that they cannot all be on their way when the first ones are read.
const reportCount = 2_000;
const padding = "x".repeat(10_000);

describe("a stream of metrics", { timeout: 120_000 }, () => {
	it("goes on without gap or double when the server is killed in the middle and started again", async () => {
		const server = restartableServer();
		const address = await server.start();
		const connection = openConnection(address, { connectMs: 30_000, retryMs: 60_000 });
		after(() => connection.close());
		const { trial, report } = await seedTrial(connection);
		await report(
			"inference",
			Array.from({ length: reportCount }, (_, index) => ({ index, padding })),
		);
		const { client, resumeTokens } = spiedClient(connection);
		const seen: number[] = [];
		for await (const { metrics } of client.getTrial(trial.id).iterMetrics<{ index: number }>("inference")) {
			seen.push(metrics.index);
			if (seen.length === 600) {
				await server.kill();
				assert.equal(await server.start(), address);
				// Not part of what was there when the stream began.
				await report("validation", [{ index: reportCount, padding: "" }]);
			}
		}
		assert.deepEqual(
			seen,
			Array.from({ length: reportCount }, (_, index) => index),
		);
		assert.equal(resumeTokens.length, 2, "the stream broke once");
		assert.notEqual(resumeTokens[1], "");
	});

	it("says that the server is away when it does not come back", async () => {
		const server = restartableServer();
		const connection = openConnection(await server.start(), { connectMs: 30_000, retryMs: 500 });
		after(() => connection.close());
		const { trial, report } = await seedTrial(connection);
		await report(
			"inference",
			Array.from({ length: reportCount }, (_, index) => ({ index, padding })),
		);
		const { client } = spiedClient(connection);
		const reading = async () => {
			let count = 0;
			for await (const _ of client.getTrial(trial.id).iterMetrics()) {
				count++;
				if (count === 1) {
					await server.kill();
				}
			}
		};
		await assert.rejects(reading(), errorWith("unavailable", /^no answer from a Millrace server at /));
	});

	it("F.35 follows a trial to its end, also where the server is killed and started again meanwhile", async () => {
		const server = restartableServer();
		const connection = openConnection(await server.start(), { connectMs: 30_000, retryMs: 60_000 });
		after(() => connection.close());
		const { trial, report } = await seedTrial(connection);
		const reporting = async (first: number) => {
			for (let index = first; index < first + 20; index++) {
				await report(`group-${index}`, [{ index }]);
			}
		};
		await reporting(0);
		const { client, resumeTokens } = spiedClient(connection);
		const seen: number[] = [];
		const following = (async () => {
			const list = client.getTrial(trial.id).iterMetrics<{ index: number }>(undefined, { follow: true });
			for await (const { metrics } of list) {
				seen.push(metrics.index);
			}
		})();
		await waitUntil("what was there", () => seen.length === 20);
		await reporting(20);
		await waitUntil("what was reported", () => seen.length === 40);
		await server.kill();
		await server.start();
		await reporting(40);
		await connection.trials.endTrialRun({ trialId: trial.id, trialRunId: 1, state: TrialRunState.COMPLETED });
		await following;
		assert.deepEqual(
			seen,
			Array.from({ length: 60 }, (_, index) => index),
		);
		assert.equal(resumeTokens.length, 2, "the stream broke once");
	});

	it("takes no resume token of another stream", async () => {
		const server = await startTestServer();
		const connection = openConnection(server.address);
		after(() => connection.close());
		const { trial, report } = await seedTrial(connection);
		await report("inference", [{ loss: 1 }]);
		const metrics = server.client(MetricService);
		const read = async (group: string, resumeToken: string) => {
			const batches = [];
			for await (const batch of metrics.streamTrialMetrics({ trialIds: [trial.id], group, resumeToken })) {
				batches.push(batch);
			}
			return batches;
		};
		const token = (await read("inference", ""))[0]?.resumeToken ?? "";
		assert.deepEqual(await read("inference", token), []);
		const strange = /^resume_token ".*" is not one of this stream; pass that of its last message$/;
		await assert.rejects(read("", token), errorWith("invalid_argument", strange));
		await assert.rejects(read("inference", "strange"), errorWith("invalid_argument", strange));
	});
});

/** A client that shows the resume tokens of the streams that it opens. */
function spiedClient(connection: Connection): { client: Client; resumeTokens: string[] } {
	const resumeTokens: string[] = [];
	const metrics: Connection["metrics"] = {
		...connection.metrics,
		streamTrialMetrics(request, options) {
			resumeTokens.push(request.resumeToken ?? "");
			return connection.metrics.streamTrialMetrics(request, options);
		},
	};
	return { client: new Client({ connection: { ...connection, metrics } }), resumeTokens };
}
