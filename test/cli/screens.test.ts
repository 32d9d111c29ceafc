import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { Client } from "../../src/sdk/index.js";
import { type CommandWorld, makeCommandWorld } from "../support/command-world.js";
import { runInProcess } from "../support/run-command-line.js";
import { startServerWithAccounts } from "../support/start-server-with-accounts.js";
import { tempDir } from "../support/temp-dir.js";
import { useTestClient } from "../support/use-test-client.js";
import { waitUntil } from "../support/wait-until.js";

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

/** The same, of a server with accounts, as an admin sees them. */
const screensWithAccounts: Readonly<Record<string, readonly string[]>> = {
	"user-audit": ["user audit", "user audit --user bob --limit 1"],
	"user-describe": ["user describe carol"],
	"user-list": ["user list", "user list --inactive"],
	"user-token-list": ["user token list", "user token list --user bob"],
};

const longText = "読みにくい手書きの数字を、毎晩読む。とても長い名前なので、狭い端末では切られる。";

const widths = [80, 200, undefined] as const;

describe("the screens of the command", { timeout: 120_000 }, () => {
	const test = useTestClient();
	const files = tempDir();
	let world: CommandWorld | undefined;
	before(async () => {
		world = await makeCommandWorld(test, files);
	});

	for (const [name, lines] of Object.entries(screens)) {
		it(`${name} is as in screens/${name}.txt, at 80 and 200 columns and in a file`, () =>
			checkScreen(name, lines, test.address, world?.checkpointUuid));
	}

	it("are those of all the files", () => {
		assert.deepEqual(
			readdirSync(directory).sort(),
			Object.keys({ ...screens, ...screensWithAccounts })
				.map((name) => `${name}.txt`)
				.sort(),
		);
	});
});

describe("the screens of the command, of accounts", { timeout: 120_000 }, async () => {
	const server = await startServerWithAccounts();
	before(async () => {
		const ada = new Client({ server: server.address, token: server.ada });
		const bob = new Client({ server: server.address, token: server.bob });
		process.env.MILLRACE_TOKEN = server.ada;
		const users = [
			["carol", { remote: true, displayName: longText }],
			["robot-of-the-nightly-reports@gpu-box.example", { remote: true }],
		] as const;
		for (const [name, options] of users) {
			await ada.createUser(name, options);
		}
		await ada.getUserByName("carol").deactivate();
		await ada.getUserByName("bob").changeDisplayName("Bob");
		await bob.createToken({ description: longText });
		const { id } = await bob.createTrial((await bob.createExperiment({ name: "a", entrypoint: "true" })).id);
		await bob.getTrial(id).createWorkerToken();
		await assert.rejects(bob.createUser("mallory"));
		await waitUntil("all outcomes", async () => (await ada.listAuditLog()).every(({ outcome }) => outcome !== null));
		await Promise.all([ada.close(), bob.close()]);
	});
	after(() => delete process.env.MILLRACE_TOKEN);

	for (const [name, lines] of Object.entries(screensWithAccounts)) {
		it(`${name} is as in screens/${name}.txt, at 80 and 200 columns and in a file`, () =>
			checkScreen(name, lines, server.address));
	}
});

async function checkScreen(name: string, lines: readonly string[], address: string, uuid = ""): Promise<void> {
	const shown: string[] = [];
	for (const line of lines) {
		for (const columns of widths) {
			const args = [...line.replace("UUID", uuid).split(" "), "--server", address];
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
}

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
		.replace(/\b127\.0\.0\.1:\d+/g, (address) => "127.0.0.1:40000".slice(0, address.length))
		.replace(/^(Took: *)\d+ s$/gm, "$11 s")
		.replace(/ {2}\d\d? s\b/g, (took) => "1 s".padStart(took.length));
}
