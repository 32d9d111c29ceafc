import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { missingTest, testText } from "./support/find-test.js";
import { optionsIn, PublicNames } from "./support/public-names.js";
import { pythonSurface } from "./support/python-surface.js";
import { readPythonTable, type TableRow } from "./support/python-table.js";

const rows = readPythonTable();
const publicNames = new PublicNames();
const built = rows.filter(({ section }) => section !== "Not here");
/** Every way to a real server. */
const realServer = /\b(startTestServer|useTestClient|startServer|startBuiltServer|startCommand|testBatchProcess)\b/;

describe("docs/PYTHON.md", () => {
	for (const [section, names] of Object.entries(pythonSurface)) {
		it(`has a row for each Python name of ${section}`, () => {
			const own = rows.filter((row) => row.section === section);
			assert.deepEqual(
				names.filter((name) => !own.some((row) => isAbout(row, name))),
				[],
			);
		});
	}

	it("names only what exists", () => {
		const missing = built.flatMap(({ names }) => names.flatMap((name) => publicNames.missing(name) ?? []));
		assert.deepEqual(missing, []);
		assert.ok(built.length > 60, `only ${built.length} rows were found`);
	});

	it("names every public method", () => {
		const listed = new Set(rows.flatMap(({ names }) => names.map((name) => name.replace(/\(.*/, ""))));
		const methods = publicNames.methods().map((name) => name.replace(/^Client\./, "client."));
		assert.deepEqual(
			methods.filter((name) => !listed.has(name) && !name.endsWith(".close")),
			[],
		);
	});

	it("names for each a test that uses it with a real server", () => {
		const wrong = built.flatMap((row) => problemsOf(row).map((problem) => `${row.names.join(", ")}: ${problem}`));
		assert.deepEqual(wrong, []);
	});
});

/** Whether a row names a Python name, and all of its arguments. */
function isAbout({ python, differs }: TableRow, name: string): boolean {
	const [, called = "", args = ""] = /^([\w. ]+)(?:\((.*)\))?$/.exec(name) ?? [];
	const words = args.split(",").map((word) => word.trim());
	const isNamed = name.includes("(") ? python.includes(`\`${called}(`) : new RegExp(`\\b${called}\\b`).test(python);
	return isNamed && words.every((word) => new RegExp(`\\b${word}\\b`).test(`${python} ${differs}`));
}

function problemsOf({ names, tested }: TableRow): string[] {
	const missing = missingTest(tested);
	if (missing !== undefined) {
		return [missing];
	}
	const text = testText(tested);
	const unused = names.flatMap(usesOf).filter(({ pattern }) => !pattern.test(text));
	const problems = unused.map(({ what }) => `${tested} does not use ${what}`);
	return realServer.test(text) ? problems : [...problems, `${tested} uses no server`];
}

/** What a test has to have in it that uses a name: its last part, and each option. */
function usesOf(name: string): { what: string; pattern: RegExp }[] {
	const [, last = "", args] = /(\w+)(?:\((.*)\))?$/.exec(name) ?? [];
	const options = optionsIn(args ?? "");
	return [
		{ what: last, pattern: new RegExp(`\\b${last}${args === undefined ? "\\b" : "\\s*[(<:]"}`) },
		...options.map((option) => ({ what: option, pattern: new RegExp(`\\b${option}\\b`) })),
	];
}
