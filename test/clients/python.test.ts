import assert from "node:assert/strict";
import { readFileSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { before, describe, it } from "node:test";
import { Client } from "../../src/sdk/index.js";
import { fromJsonText } from "../../src/sdk/json.js";
import { buildClientExample, missingLanguage } from "../support/client-example.js";
import { seedTrial } from "../support/seed-trial.js";
import { type CommandEnd, startCommand } from "../support/start-command.js";
import { tempDir } from "../support/temp-dir.js";
import { useTestClient } from "../support/use-test-client.js";
import { clientSuite } from "./client-suite.js";

clientSuite("python");

const page = readFileSync(new URL("../../docs/clients.md", import.meta.url), "utf8");

describe("examples/clients/python/call.py", { skip: missingLanguage("python"), timeout: 900_000 }, () => {
	const test = useTestClient();
	// Without any generated code.
	const directory = tempDir();
	before(async () => {
		const built = (await buildClientExample("python")).directory;
		for (const name of ["call.py", "connection.py", ".venv"]) {
			symlinkSync(join(built, name), join(directory, name));
		}
	});

	/** Runs the command of docs/clients.md that calls a method, for a trial. */
	function call(method: string, trialId: number): Promise<CommandEnd> {
		const [command = ""] = new RegExp(`^\\S+ call\\.py .*/${method} .*$`, "m").exec(page) ?? [];
		const line = command.replace("localhost:8090", test.address).replace(/(?<="trialIds?": \[?)1/, `${trialId}`);
		return startCommand("sh", ["-c", line], { cwd: directory }).ended;
	}

	it("calls a method by what the server says of itself", async () => {
		const { trial } = await seedTrial(test.connection);
		const { code, stdout, stderr } = await call("GetTrial", trial.id);
		assert.equal(code, 0, stderr);
		const answer = JSON.parse(stdout);
		assert.deepEqual(answer.trial.hparams, { lr: 0.5 });
		assert.equal(answer.trial.state, "TRIAL_STATE_ACTIVE");
	});

	it("reads a stream, with messages that are larger than gRPC's usual limit", async () => {
		const { trial, report } = await seedTrial(test.connection);
		await report("inference", [{ loss: Number.NaN, text: "ß".repeat(5_000_000) }, { loss: 2 }]);
		const { code, stdout, stderr } = await call("StreamTrialMetrics", trial.id);
		assert.equal(code, 0, stderr);
		const messages = stdout
			.trimEnd()
			.split("\n")
			.map((line) => JSON.parse(line));
		const texts: string[] = messages.flatMap(({ reports }) => reports).map(({ metricsJson }) => metricsJson);
		const client = new Client({ server: test.address });
		const reports = await client.getTrial(trial.id).then((read) => read.getMetrics("inference"));
		await client.close();
		assert.deepEqual(
			texts.map((text) => fromJsonText(text)),
			reports.map(({ metrics }) => metrics),
		);
	});

	it("tells an error by its code", async () => {
		const { code, stderr } = await call("GetTrial", 999);
		assert.equal(code, 1);
		assert.match(stderr, /^NOT_FOUND: trial 999 not found/);
	});
});
