import assert from "node:assert/strict";
import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { readServerAddress } from "../../src/data-directory.js";
import { examplesOf } from "../support/page-examples.js";
import { runNpm } from "../support/run-npm.js";
import { type CommandEnd, type RunningCommand, startCommand } from "../support/start-command.js";
import { tempDir } from "../support/temp-dir.js";
import { waitUntil } from "../support/wait-until.js";

const root = fileURLToPath(new URL("../..", import.meta.url));
const readme = readFileSync(join(root, "README.md"), "utf8");

/** What the README tells to put into .npmrc. */
const npmrcLine = /`(onnxruntime-node-install=\w+)`/.exec(readme)?.[1];

describe("a newcomer with the packed package, in an empty folder", { timeout: 1_200_000 }, () => {
	const project = tempDir();
	let server: RunningCommand;
	let http = "";

	/** Runs a command of the project, as somebody would who has typed it. */
	async function npx(...args: string[]): Promise<CommandEnd> {
		return startCommand("npx", args, { cwd: project, env: { ...npmEnvironment() } }).ended;
	}

	before(async () => {
		const pack = await runNpm(["pack", "--ignore-scripts", "--json", "--pack-destination", project], root);
		assert.equal(pack.code, 0, pack.stderr);
		const [{ filename }] = JSON.parse(pack.stdout) as [{ filename: string }];
		assert.ok(npmrcLine, "the README names the line");
		writeFileSync(join(project, ".npmrc"), `${npmrcLine}\n`);
		writeFileSync(join(project, "package.json"), JSON.stringify({ type: "module" }));
		// It compiles sqlite3 where there is no binary of it: two minutes.
		const packages = [`./${filename}`, "sqlite3", "onnxruntime-node", "tsx"];
		const install = await runNpm(["install", "--no-audit", "--no-fund", ...packages], project, 900_000);
		assert.equal(install.code, 0, install.stderr);
		server = startCommand("npx", ["millrace", "server", "--port", "0"], { cwd: project, env: npmEnvironment() });
		await server.writes(/HTTP at http:/);
		http = /HTTP at (http:\S+)/.exec(server.stdout())?.[1] ?? "";
		assert.match(server.stdout(), /serving at 127\.0\.0\.1:\d+, data in .*\.millrace$/m);
	});

	it("writes the README's worker, runs it, and reads what it reported", async () => {
		const worker = examplesOf(join(root, "README.md")).find(({ code }) => code.includes("class Doubler"))?.code;
		assert.ok(worker);
		writeFileSync(join(project, "worker.ts"), worker);
		// Any ONNX file will do, says the README, and names this one.
		copyFileSync(join(root, "test/support/fixtures/double.onnx"), join(project, "double.onnx"));
		const { code, stdout, stderr } = await npx("tsx", "worker.ts");
		assert.equal(code, 0, stderr);
		assert.match(stdout, /metrics: \{ largest: 8 \}/);
		assert.match(stdout, /metrics: \{ largest: 12 \}/);
	});

	it("runs it on two workers by the README's YAML", async () => {
		const yaml = /```yaml\n(name: doubler.*?)```/s.exec(readme)?.[1];
		assert.ok(yaml);
		writeFileSync(join(project, "doubler.yaml"), yaml);
		const { code, stderr, stdout } = await npx("millrace", "run", "doubler.yaml");
		assert.equal(code, 0, `${stdout}\n${stderr}`);
	});

	it("asks for the metrics by the SDK, by curl and by the command, and gets the same", async () => {
		writeFileSync(
			join(project, "ask.ts"),
			`import { client } from "millrace";
			const reports = await client.getTrial(2).getMetrics("inference");
			console.log(JSON.stringify(reports.map(({ metrics }) => metrics.largest).sort((a, b) => a - b)));`,
		);
		const sdk = await npx("tsx", "ask.ts");
		assert.deepEqual([sdk.code, JSON.parse(sdk.stdout)], [0, [8, 12]], sdk.stderr);

		const url = `${http}/millrace.v1.MetricService/SummarizeMetrics`;
		const body = JSON.stringify({ trialId: 2, group: "inference" });
		const curl = await startCommand("curl", ["-s", "-H", "Content-Type: application/json", "-d", body, url]).ended;
		const { metrics } = JSON.parse(curl.stdout) as { metrics: { name: string; count: string; max: number }[] };
		assert.deepEqual(
			metrics.map(({ name, count, max }) => [name, Number(count), max]),
			[["largest", 2, 12]],
		);

		const command = await npx("millrace", "trial", "metrics", "2", "--group", "inference", "--json");
		assert.equal(command.code, 0, command.stderr);
		const largest = command.stdout
			.trim()
			.split("\n")
			.map((line) => (JSON.parse(line) as { metrics: { largest: number } }).metrics.largest);
		assert.deepEqual(
			largest.sort((a, b) => a - b),
			[8, 12],
		);
	});

	it("stops the server with its npx", async () => {
		server.signal("SIGTERM");
		await server.ended;
		await waitUntil(
			"the server to free its directory",
			() => readServerAddress(join(project, ".millrace")) === undefined,
		);
	});

	function npmEnvironment(): Record<string, string> {
		const wanted = Object.entries(process.env).filter(([name]) =>
			/^(npm_config_(?!local_prefix)|.*_proxy$|NODE_EXTRA)/i.test(name),
		);
		return Object.fromEntries(wanted.map(([name, value]) => [name, value ?? ""]));
	}
});
