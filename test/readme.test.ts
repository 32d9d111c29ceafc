import assert from "node:assert/strict";
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { readServerAddress } from "../src/data-directory.js";
import { nodeWithTsx } from "./support/node-with-tsx.js";
import { builtCommand } from "./support/start-built-server.js";
import { startCommand } from "./support/start-command.js";
import { tempDir } from "./support/temp-dir.js";
import { waitUntil } from "./support/wait-until.js";

const root = fileURLToPath(new URL("..", import.meta.url));
const readme = readFileSync(join(root, "README.md"), "utf8");

/** Returns the README's first block of this language that holds `text`. */
function block(language: string, text: string): string {
	const blocks = [...readme.matchAll(/^```(\w+)\n(.*?)^```$/gms)];
	const [, , found] = blocks.find(([, name, body]) => name === language && body?.includes(text)) ?? [];
	assert.ok(found !== undefined, `the README has a block of ${language} with ${text}`);
	return found;
}

describe("the README's worker", { timeout: 120_000 }, () => {
	// Registered before the directory's own removal, so that it runs before it.
	after(() => waitUntil("the embedded server to end", () => readServerAddress(data) === undefined, 20_000));
	const project = tempDir();
	const data = join(project, ".millrace");
	const [node, ...tsx] = nodeWithTsx;
	mkdirSync(join(project, "node_modules/.bin"), { recursive: true });
	symlinkSync(root, join(project, "node_modules/millrace"));
	symlinkSync(builtCommand, join(project, "node_modules/.bin/millrace"));
	symlinkSync(join(root, "node_modules/tsx/dist/cli.mjs"), join(project, "node_modules/.bin/tsx"));
	copyFileSync(join(root, "test/support/fixtures/double.onnx"), join(project, "double.onnx"));
	writeFileSync(join(project, "package.json"), JSON.stringify({ type: "module" }));
	writeFileSync(join(project, "worker.ts"), block("ts", "class Doubler"));
	writeFileSync(join(project, "doubler.yaml"), block("yaml", "name: doubler"));
	writeFileSync(
		join(project, "read.js"),
		`import { client } from "millrace";
		const [newest] = await client.listTrials();
		const reports = await newest.getMetrics("inference");
		const sorted = reports.sort((a, b) => a.rank - b.rank || a.stepsCompleted - b.stepsCompleted);
		console.log(JSON.stringify([newest.state, sorted.map(({ rank, metrics }) => [rank, metrics])]));`,
	);

	/** Reads the newest trial's state, and each of its reports with its rank, in the order of ranks and steps. */
	async function readBack(): Promise<unknown> {
		const { stdout, stderr } = await startCommand(node, ["read.js"], { cwd: project }).ended;
		assert.equal(stderr, "");
		return JSON.parse(stdout);
	}

	it("runs by itself", async () => {
		const { code, stdout, stderr } = await startCommand(node, [...tsx, "worker.ts"], { cwd: project }).ended;
		assert.equal(code, 0, stderr);
		assert.match(stdout, /largest: 12/);
		assert.deepEqual(await readBack(), [
			"COMPLETED",
			[
				[0, { largest: 8 }],
				[0, { largest: 12 }],
			],
		]);
	});

	it("runs on two workers by the README's YAML", async () => {
		const { code, stderr } = await startCommand(node, [builtCommand, "run", "doubler.yaml"], { cwd: project }).ended;
		assert.equal(code, 0, stderr);
		assert.deepEqual(await readBack(), [
			"COMPLETED",
			[
				[0, { largest: 8 }],
				[1, { largest: 12 }],
			],
		]);
	});
});

const { scripts, exports } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
	scripts: Record<string, string>;
	exports: Record<string, unknown>;
};
const folders = [".ci", "bin", "docs", "examples", "proto", "src", "test"];
const paths = folders.flatMap((folder) => [folder, ...pathsBelow(folder)]);

function pathsBelow(folder: string): string[] {
	return readdirSync(join(root, folder), { withFileTypes: true })
		.filter(({ name }) => name !== "node_modules" && name !== ".millrace")
		.flatMap((entry) => {
			const path = `${folder}/${entry.name}`;
			return entry.isDirectory() ? [path, ...pathsBelow(path)] : [path];
		});
}

/** Tells whether a path exists as it is written: from the root, or below one of the rooms, as in `db/trials.ts`. */
function exists(mention: string): boolean {
	const path = mention.replace(/\/$/, "");
	if (path.endsWith("/*.ts")) {
		return paths.some((other) => other.startsWith(path.slice(0, -"*.ts".length)) && other.endsWith(".ts"));
	}
	return existsSync(join(root, path)) || paths.some((other) => other.endsWith(`/${path}`));
}

for (const document of [
	"README.md",
	"CONTRIBUTING.md",
	"docs/ARCHITECTURE.md",
	"docs/FAULTS.md",
	"docs/clients.md",
	"docs/core.md",
	"docs/launchers.md",
]) {
	const text = readFileSync(join(root, document), "utf8");

	describe(document, () => {
		it("links to what exists", () => {
			const targets = [...text.matchAll(/\]\((?!https?:|#)([^)#]+)[^)]*\)/g)].map(([, target = ""]) => target);
			const broken = targets.filter((target) => !existsSync(join(root, document, "..", target)));
			assert.deepEqual(broken, []);
		});

		it("names paths that exist", () => {
			const spans = [...text.matchAll(/`([^`\n]+)`/g)].map(([, span = ""]) => span);
			const named = spans.filter((span) => /^[\w.-]+(\/[\w.*-]*)+$|^[\w.-]+\.(ts|js|md|json|proto)$/.test(span));
			const inText = [...text.matchAll(/(?<![\w./-])((?:\.ci|bin|docs|examples|proto|src|test)\/[\w./-]*\w)/g)];
			const mentions = [...named, ...inText.map(([, path = ""]) => path)];
			assert.ok(mentions.length > 0);
			// The name of an entry, such as millrace/runtime, and a place for a name are no paths.
			const isOther = (path: string) => path.replace(/^millrace/, ".") in exports || path.includes("NNNN");
			assert.deepEqual(
				mentions.filter((path) => !isOther(path) && !exists(path)),
				[],
			);
		});

		it("names scripts that exist", () => {
			const named = [...text.matchAll(/npm (?:run ([\w-]+)|(test))\b/g)].map(
				([, script, test]) => script ?? test ?? "",
			);
			assert.deepEqual(
				named.filter((script) => !(script in scripts)),
				[],
			);
		});
	});
}
