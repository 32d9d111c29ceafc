import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { writeReference } from "../docs/reference/write-reference.js";
import { examplesOf, type PageExample, pagesIn } from "./support/page-examples.js";
import { PublicNames } from "./support/public-names.js";
import { tempDir } from "./support/temp-dir.js";

const root = fileURLToPath(new URL("..", import.meta.url));

/** Type-checks examples as a user would, against the built package. Returns what is wrong, by place. */
function problemsOf(examples: readonly PageExample[]): string[] {
	assert.ok(existsSync(join(root, "dist/index.d.ts")), "the package is not built: npm run build");
	const project = tempDir();
	mkdirSync(join(project, "node_modules/@types"), { recursive: true });
	symlinkSync(root, join(project, "node_modules/millrace"));
	symlinkSync(join(root, "node_modules/@types/node"), join(project, "node_modules/@types/node"));
	writeFileSync(join(project, "package.json"), JSON.stringify({ type: "module" }));
	const places = new Map<string, string>();
	for (const [index, { place, file = `example-${index}.ts`, code }] of examples.entries()) {
		const folder = join(project, place.replace(/:\d+$/, "").replace(/\W/g, "-"));
		mkdirSync(folder, { recursive: true });
		const path = join(folder, file);
		writeFileSync(path, code);
		places.set(path, place);
	}
	const program = ts.createProgram([...places.keys()], {
		strict: true,
		noEmit: true,
		target: ts.ScriptTarget.ES2023,
		lib: ["lib.es2023.d.ts"],
		types: ["node"],
		typeRoots: [join(project, "node_modules/@types")],
		module: ts.ModuleKind.NodeNext,
		moduleDetection: ts.ModuleDetectionKind.Force,
	});
	return ts.getPreEmitDiagnostics(program).map(({ file, start = 0, messageText }) => {
		const text = ts.flattenDiagnosticMessageText(messageText, "\n");
		const line = file?.getLineAndCharacterOfPosition(start).line ?? 0;
		return `${places.get(file?.fileName ?? "") ?? file?.fileName}, line ${line + 1} of it: ${text}`;
	});
}

describe("the API reference", { timeout: 300_000 }, () => {
	const directory = tempDir();
	let pages: string[] = [];
	before(async () => {
		await writeReference(directory);
		pages = pagesIn(directory);
	});

	it("has every public method, and every service with its methods", () => {
		const text = pages.map((page) => readFileSync(page, "utf8")).join("\n");
		const methods = new PublicNames().methods().map((name) => name.split(".")[1] ?? "");
		assert.ok(methods.length > 50);
		assert.deepEqual(
			methods.filter((name) => !new RegExp(`^#+ (?:\`\\w+\` )*${name}(?:\\(\\)|\\?)`, "m").test(text)),
			[],
		);
		const services = text.match(/^# \w+Service$/gm) ?? [];
		assert.ok(services.length >= 9, services.join());
		assert.match(text, /^## GetCheckpoint$/m);
	});

	it("links to what exists", () => {
		const broken = pages.flatMap((page) => {
			const targets = [...readFileSync(page, "utf8").matchAll(/\]\((?!https?:|#)([^)#]+)[^)]*\)/g)];
			return targets
				.map(([, target = ""]) => join(dirname(page), target))
				.filter((path) => !existsSync(path) && !existsSync(join(root, "docs", relative(dirname(directory), path))))
				.map((path) => `${page}: ${path}`);
		});
		assert.deepEqual(broken, []);
	});

	it("is the same when it is made again", async () => {
		const again = tempDir();
		await writeReference(again);
		assert.deepEqual(
			pagesIn(again).map((page) => readFileSync(page, "utf8")),
			pages.map((page) => readFileSync(page, "utf8")),
		);
	});

	it("has only examples that compile", () => {
		const examples = pages.flatMap((page) => examplesOf(page, /^#+ Example/));
		assert.ok(examples.length >= 10, `${examples.length} examples`);
		assert.deepEqual(problemsOf(examples), []);
	});
});

describe("the pages in docs/ and the README", { timeout: 300_000 }, () => {
	it("have only examples that compile", () => {
		const pages = pagesIn("docs").filter((page) => !page.startsWith("docs/api/"));
		const examples = ["README.md", ...pages].flatMap((page) => examplesOf(page));
		assert.ok(examples.length >= 5, `${examples.length} examples`);
		assert.deepEqual(problemsOf(examples), []);
	});
});
