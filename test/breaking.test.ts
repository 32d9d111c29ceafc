import assert from "node:assert/strict";
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { type CommandEnd, startCommand } from "./support/start-command.js";
import { tempDir } from "./support/temp-dir.js";

const root = fileURLToPath(new URL("..", import.meta.url));
const { scripts, version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
	scripts: Record<string, string>;
	version: string;
};

/** Checks a copy of the protos, changed by `change`, as `npm run breaking` does. */
function breaking(change: (edit: (file: string, from: string, to: string) => void) => void): Promise<CommandEnd> {
	const project = tempDir();
	for (const path of ["buf.yaml", "proto", "releases"]) {
		cpSync(join(root, path), join(project, path), { recursive: true });
	}
	change((file, from, to) => {
		const path = join(project, "proto/millrace/v1", file);
		const text = readFileSync(path, "utf8");
		assert.ok(text.includes(from), `${file} has no ${from}`);
		writeFileSync(path, text.replace(from, to));
	});
	// The environment of `npm run`, without npm's own time.
	const env = { PATH: `${root}/node_modules/.bin:${process.env.PATH}`, npm_package_version: version };
	return startCommand("sh", ["-c", scripts.breaking ?? ""], { cwd: project, env }).ended;
}

describe("npm run breaking", () => {
	it("is part of npm run check", () => {
		assert.match(scripts.check ?? "", /npm run breaking\b/);
	});

	it("lets additions pass", async () => {
		const { code, stdout, stderr } = await breaking((edit) => {
			edit("list.proto", "// The direction", "// New.\nmessage Added {}\n\n// The direction");
			edit("metric.proto", "  int64 id = 1;", "  int64 id = 1;\n  // New.\n  string added = 99;");
		});
		assert.equal(code, 0, stdout + stderr);
	});

	it("refuses what a client of the last release would not understand", async () => {
		const { code, stdout } = await breaking((edit) => {
			edit("metric.proto", "int64 id = 1;", "string id = 1;");
			edit("metric.proto", "string group = 4;", "");
			edit("trial.proto", "TRIAL_STATE_PAUSED = 2", "TRIAL_STATE_HALTED = 2");
			edit("trial_service.proto", "rpc GetTrial(", "rpc FetchTrial(");
			edit("log_service.proto", "service LogService", "service PrintService");
			edit(
				"metric_service.proto",
				"returns (stream StreamTrialMetricsResponse)",
				"returns (StreamTrialMetricsResponse)",
			);
		});
		assert.notEqual(code, 0);
		for (const refusal of [
			/metric\.proto:.*"1" with name "id" on message "MetricReport" changed type/,
			/metric\.proto:.*"4" with name "group" on message "MetricReport" was deleted/,
			/trial\.proto:.*"2" on enum "TrialState" changed name/,
			/trial_service\.proto:.*RPC "GetTrial" on service "TrialService" was deleted/,
			/service "LogService" was deleted/,
			/metric_service\.proto:.*"StreamTrialMetrics" on service "MetricService" changed from server streaming/,
		]) {
			assert.match(stdout, refusal);
		}
	});
});
