import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { describe, it } from "node:test";
import { AuthService } from "../../../src/gen/millrace/v1/auth_service_pb.js";
import { MetricService } from "../../../src/gen/millrace/v1/metric_service_pb.js";
import { TrialRunState } from "../../../src/gen/millrace/v1/trial_pb.js";
import { TrialService } from "../../../src/gen/millrace/v1/trial_service_pb.js";
import { Channel } from "../../../src/rpc/channel.js";
import { createRpcClient } from "../../../src/rpc/client.js";
import { Connection } from "../../../src/server/db/database.js";
import { Random } from "../../chaos/random.js";
import { allMethods, fullName } from "../../support/bad-input/all-methods.js";
import { createFuzzAccounts } from "../../support/bad-input/fuzz-accounts.js";
import { type FuzzWorld, seedWorld } from "../../support/bad-input/fuzz-world.js";
import { MessageMaker } from "../../support/bad-input/message-maker.js";
import { rawCall } from "../../support/bad-input/raw-call.js";
import { recordStatements, sourceStatements } from "../../support/sql-statements.js";
import { startTestServer } from "../../support/start-test-server.js";
import { tempDir } from "../../support/temp-dir.js";

/** Statements that read a whole table on purpose: a part of their text, and why. */
const onPurpose: readonly (readonly [text: string, reason: string])[] = [
	["DELETE FROM request_ids WHERE time < ?", "once in a long while; the answers are kept for a while only"],
	["DELETE FROM report_clients WHERE time < ?", "the same"],
	["SELECT cluster_id FROM meta", "a table of one row"],
	["SELECT * FROM trial_runs WHERE state IN ('FORMING', 'RUNNING')", "all of an index that holds the open runs only"],
];

describe("the statements of src/server/db", { timeout: 300_000 }, () => {
	it("read no whole table", async () => {
		const seen = new Set<string>();
		const dataDirectory = tempDir();
		// The migrations read whole tables, once.
		await (await startTestServer({ dataDirectory })).close();
		const stop = recordStatements((sql) => seen.add(sql));
		const { address, logged } = await startTestServer({ dataDirectory, leaseMs: 2_000 });
		const { admin } = await createFuzzAccounts(address);
		const channel = new Channel(address, { connectMs: 20_000, retryMs: 20_000, security: { token: admin } });
		// Who is logged out can call nothing more.
		const unary = (await allMethods()).filter(
			(method) => method.methodKind !== "bidi_streaming" && method !== AuthService.method.logout,
		);
		// Those of workers come first: others kill the runs.
		const methods = [
			...unary.filter(({ parent }) => parent.name === "ProgressService"),
			...unary.filter(({ parent }) => parent.name !== "ProgressService"),
		];
		for (let round = 0; round < 4; round++) {
			const world = await seedWorld(channel);
			await reportAgain(channel, world);
			for (const method of methods) {
				const maker = new MessageMaker(new Random(`plans ${fullName(method)} ${round}`), world);
				const messages = Array.from({ length: 6 }, () => maker.good(method.input));
				await Promise.all(messages.map((message) => rawCall(channel.grpc, method, [message], 300, channel.metadata())));
			}
			world.end();
		}
		channel.close();
		stop();
		assert.deepEqual(logged, []);

		const sources = sourceStatements();
		const unseen = sources.filter(({ pattern }) => ![...seen].some((sql) => pattern.test(sql)));
		const hidden = unseen
			.filter(({ sql }) => sql === undefined)
			.map(({ file, pattern }) => `${file} ${pattern.source.slice(0, 200)}`);
		const connection = await Connection.open(join(dataDirectory, "millrace.db"));
		const statistics = await connection.all("SELECT name FROM sqlite_master WHERE name LIKE 'sqlite_stat%'");
		assert.deepEqual(statistics, [], "the plans would depend on what is stored");
		const tables = new Set(
			(await connection.all<{ name: string }>("SELECT name FROM sqlite_master WHERE type = 'table'")).map(
				({ name }) => name,
			),
		);
		const scans: string[] = [];
		for (const sql of new Set([...seen, ...unseen.flatMap((statement) => statement.sql ?? [])])) {
			if (!/^\s*(SELECT|INSERT|UPDATE|DELETE|WITH)\b/.test(sql)) {
				continue;
			}
			const plan = await connection.all<{ detail: string }>(`EXPLAIN QUERY PLAN ${sql}`);
			const bad = plan.map(({ detail }) => detail).filter((detail) => isWholeTable(detail, sql, tables));
			if (bad.length > 0 && !onPurpose.some(([text]) => sql.includes(text))) {
				scans.push(`${bad.join("; ")}\n${sql}`);
			}
		}
		await connection.close();
		assert.deepEqual(scans, []);
		// Their text is not whole in the sources: a call has to reach them.
		assert.deepEqual(hidden, []);
	});
});

/** Reports the steps of a run once more in its next run, so that those of the first are archived, and reads the summary. */
async function reportAgain(channel: Channel, { trialIds: [, trialId] }: FuzzWorld): Promise<void> {
	const trials = createRpcClient(TrialService, channel);
	const metrics = createRpcClient(MetricService, channel);
	await trials.endTrialRun({ trialId, trialRunId: 1, state: TrialRunState.FAILED });
	await trials.startTrialRun({ requestId: randomUUID(), trialId });
	const report = { trialId, trialRunId: 2, group: "inference", stepsCompleted: 1, metricsJson: "{}" };
	await metrics.reportMetrics({ clientId: randomUUID(), sequence: 1n, reports: [report] });
	await trials.getTrial({ trialId });
}

/** Tells whether a step of a plan reads all rows of a table, or of an index of it. */
function isWholeTable(detail: string, sql: string, tables: ReadonlySet<string>): boolean {
	const [, scanned] = /^SCAN (\w+)(?! VIRTUAL TABLE)(?!.*VIRTUAL TABLE)/.exec(detail) ?? [];
	if (scanned === undefined) {
		return detail.includes("AUTOMATIC");
	}
	const [, named = scanned] = new RegExp(`\\b(\\w+)\\s+(?:AS\\s+)?${scanned}\\b`).exec(sql) ?? [];
	return tables.has(scanned) || tables.has(named);
}
