import assert from "node:assert/strict";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { runMillrace } from "../support/start-command.js";
import { tempDir } from "../support/temp-dir.js";

describe("millrace run", { timeout: 120_000 }, () => {
	const refused: [string, string | undefined, RegExp][] = [
		["a missing file", undefined, /^millrace: .*conf\.yaml: no such file; /],
		["what is not YAML", "name: [", /^millrace: .*conf\.yaml:\d+:\d+: not YAML: /],
		["an unknown key", "entry_point: a", /unknown key entry_point; did you mean entrypoint\?/],
		["slots_per_trial 0", "entrypoint: 'true'\nresources: {slots_per_trial: 0}", /slots_per_trial must be .*, not 0/],
		[
			"slots_per_trial two",
			'entrypoint: "true"\nresources: {slots_per_trial: two}',
			/slots_per_trial must be .*, not "two"/,
		],
		["no entrypoint", "name: a", /entrypoint is missing; say what to run/],
		["an entrypoint that does not exist", "entrypoint: no-such-command --x", /no-such-command: command not found/],
		["a list whose program does not exist", "entrypoint: [./nothing]", /\.\/nothing: command not found/],
	];
	for (const [what, yaml, message] of refused) {
		it(`exits 2 for ${what}, and creates nothing`, async () => {
			const directory = tempDir();
			const path = join(directory, "conf.yaml");
			if (yaml !== undefined) {
				writeFileSync(path, yaml);
			}
			const end = await runMillrace(["run", path, "--data", join(directory, "data")], { cwd: directory });
			assert.equal(end.code, 2);
			assert.match(end.stderr, message);
			assert.equal(end.stderr.trimEnd().split("\n").length, 1);
			assert.equal(end.stdout, "");
			assert.equal(existsSync(join(directory, "data")), false);
		});
	}
});
