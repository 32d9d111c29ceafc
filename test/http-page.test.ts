import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import type { ErrorCode } from "../src/errors.js";
import { TrialService } from "../src/gen/millrace/v1/trial_service_pb.js";
import { maxMessageBytes } from "../src/rpc/channel.js";
import { httpStatusOf } from "../src/rpc/status.js";
import { reporter } from "./server/report-metrics.js";
import { startTrial } from "./server/start-trial.js";
import { documentedCodes } from "./support/documented-codes.js";
import { missingProgram } from "./support/missing-program.js";
import { startCommand } from "./support/start-command.js";
import { startServerWithAccounts } from "./support/start-server-with-accounts.js";
import { startTestServer, type TestServer } from "./support/start-test-server.js";
import { tempDir } from "./support/temp-dir.js";

const page = readFileSync(fileURLToPath(new URL("../docs/http.md", import.meta.url)), "utf8");
const blocks = (language: string) =>
	[...page.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\``, "gms"))].map(([, text = ""]) => text);
const [getTrial, getMe, listModels, streamMetrics, ...others] = blocks("sh");

/** Runs an example of the page against a server, and returns what it prints. */
async function run(program: string, example = "", server: TestServer, env: Record<string, string> = {}) {
	assert.ok(example.includes("http://127.0.0.1:8080"));
	const file = join(tempDir(), "example.mjs");
	writeFileSync(file, example.replaceAll("http://127.0.0.1:8080", server.httpAddress ?? ""));
	const { code, stdout, stderr } = await startCommand(program, [file], { env }).ended;
	assert.equal(code, 0, stderr);
	return stdout;
}

/** A server with a trial that has reported once. */
async function startWithReport(): Promise<TestServer> {
	const server = await startTestServer({ httpPort: 0 });
	const trialId = await startTrial(server);
	await server.client(TrialService).startTrialRun({ trialId });
	const report = { trialId, trialRunId: 1, group: "inference", stepsCompleted: 3, metricsJson: '{"loss": "NaN"}' };
	assert.deepEqual(await reporter(server)(report), ["ok"]);
	return server;
}

describe("docs/http.md", { timeout: 120_000 }, () => {
	it("has all its examples tried here", () => {
		assert.deepEqual(others, []);
		assert.equal(blocks("js").length, 1);
		assert.equal(blocks("ts").length, 0);
	});

	it("calls methods by curl", { skip: missingProgram(["curl"]) }, async () => {
		const server = await startWithReport();
		assert.equal(JSON.parse(await run("sh", getTrial, server)).trial.state, "TRIAL_STATE_ACTIVE");
		assert.deepEqual(JSON.parse(await run("sh", listModels, server)).models, []);
	});

	it("shows a token by curl", { skip: missingProgram(["curl"]) }, async () => {
		const server = await startServerWithAccounts({ httpPort: 0 });
		const answer = JSON.parse(await run("sh", getMe, server, { MILLRACE_TOKEN: server.bob }));
		assert.equal(answer.user.username, "bob");
		assert.equal(JSON.parse(await run("sh", getMe, server)).code, "unauthenticated");
	});

	it("reads a stream by curl, to its last envelope", { skip: missingProgram(["curl", "perl"]) }, async () => {
		const lines = (await run("sh", streamMetrics, await startWithReport())).trimEnd().split("\n");
		const [message, ...rest] = lines.map((line) => JSON.parse(line));
		assert.equal(message.reports[0].metricsJson, '{"loss": "NaN"}');
		assert.deepEqual(rest, [{}]);
	});

	it("calls methods and reads a stream by fetch", async () => {
		const [example] = blocks("js");
		assert.equal(
			await run(process.execPath, example, await startWithReport()),
			"TRIAL_STATE_ACTIVE\n3 { loss: 'NaN' }\n",
		);
	});

	it("has the status of each code", () => {
		const rows = [...page.matchAll(/^\| (\d+) \| (.*) \|$/gm)];
		for (const { code } of documentedCodes()) {
			const name = code === "cancelled" ? "canceled" : code;
			const statuses = rows
				.filter(([, , codes = ""]) => codes.includes(`\`${name}\``))
				.map(([, status]) => Number(status));
			assert.ok(statuses.includes(httpStatusOf(code as ErrorCode)), code);
		}
		assert.ok(page.includes(`at most ${maxMessageBytes / 1024 / 1024} MiB`));
	});
});
