import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { type CommandWorld, makeCommandWorld } from "../support/command-world.js";
import { runInProcess } from "../support/run-command-line.js";
import { tempDir } from "../support/temp-dir.js";
import { useTestClient } from "../support/use-test-client.js";

const directory = fileURLToPath(new URL("./screens/", import.meta.url));

/** What each file of screens/ shows; UUID is that of the checkpoint of both versions. */
const screens: Readonly<Record<string, readonly string[]>> = {
	"checkpoint-describe": ["checkpoint describe UUID"],
	"checkpoint-list": ["checkpoint list", "experiment list-checkpoints 1", "trial list-checkpoints 1"],
	"checkpoint-metrics": ["checkpoint metrics UUID --group validation", "checkpoint metrics UUID --name loss --chart"],
	"experiment-describe": ["experiment describe 1"],
	"experiment-list": ["experiment list", "experiment list --no-archived --sort-by NAME --limit 1"],
	"model-describe": ["model describe digits", "model describe digits 2"],
	"model-list": ["model list"],
	"model-list-versions": ["model list-versions digits"],
	"model-metrics": [
		"model metrics digits 1 --group validation --name by_class.zero --name loss",
		"model metrics digits 1 --group inference --name accuracy --chart",
	],
	"trial-describe": ["trial describe 1"],
	"trial-errors": ["trial errors 2"],
	"trial-list": ["trial list", "experiment list-trials 1"],
	"trial-metrics": ["trial metrics 3", "trial metrics 1 --group validation"],
	"trial-metrics-chart": ["trial metrics 3 --chart", "trial metrics 1 --group inference --name accuracy --chart"],
	"trial-outputs": ["trial outputs 2"],
};

const widths = [80, 200, undefined] as const;

describe("the screens of the command", { timeout: 120_000 }, () => {
	const test = useTestClient();
	const files = tempDir();
	let world: CommandWorld | undefined;
	before(async () => {
		world = await makeCommandWorld(test, files);
	});

	for (const [name, lines] of Object.entries(screens)) {
		it(`${name} is as in screens/${name}.txt, at 80 and 200 columns and in a file`, async () => {
			const uuid = world?.checkpointUuid ?? "";
			const shown: string[] = [];
			for (const line of lines) {
				for (const columns of widths) {
					const args = [...line.replace("UUID", uuid).split(" "), "--server", test.address];
					const { code, stdout, stderr } = await runInProcess(args, { columns, now: Date.now() + 259_200_000 });
					assert.deepEqual([code, stderr], [0, ""], line);
					if (columns !== undefined && !line.includes("describe")) {
						assertFits(stdout, columns);
					}
					shown.push(`=== ${line}, ${columns === undefined ? "in a file" : `${columns} columns`}\n${stdout}`);
				}
			}
			const text = unchanging(shown.join("\n"));
			const path = `${directory}${name}.txt`;
			if (process.env.UPDATE_SCREENS === "1") {
				writeFileSync(path, text);
			}
			assert.equal(text, existsSync(path) ? readFileSync(path, "utf8") : "");
		});
	}

	it("are those of all the files", () => {
		assert.deepEqual(
			readdirSync(directory).sort(),
			Object.keys(screens)
				.map((name) => `${name}.txt`)
				.sort(),
		);
	});
});

function assertFits(text: string, columns: number): void {
	for (const line of text.split("\n")) {
		// All that is wide here is of two columns: Japanese.
		const width = [...line].reduce((sum, character) => sum + (/[\u3000-\u9fff]/.test(character) ? 2 : 1), 0);
		assert.ok(width <= columns, `${width} columns: ${line}`);
	}
}

/** Replaces what differs each time by what has the same width. */
function unchanging(text: string): string {
	const uuids = new Map<string, string>();
	return text
		.replace(/\b[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\b/g, (uuid) => {
			const known = uuids.get(uuid) ?? `00000000-0000-4000-8000-${String(uuids.size + 1).padStart(12, "0")}`;
			uuids.set(uuid, known);
			return known;
		})
		.replace(/\b\d{4}-\d\d-\d\d \d\d:\d\d\b/g, "2026-11-28 16:40")
		.replace(/^(Took: *)\d+ s$/gm, "$11 s")
		.replace(/ {2}\d\d? s\b/g, (took) => "1 s".padStart(took.length));
}
