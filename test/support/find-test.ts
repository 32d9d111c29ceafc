import { existsSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import ts from "typescript";

/** Says what is wrong with `path › name of the it`; undefined if there is one such test. */
export function missingTest(test: string): string | undefined {
	const [path = "", name = "", ...others] = test.split(" › ");
	if (name === "" || others.length > 0) {
		return "must be: path › name of the it";
	}
	if (!existsSync(path)) {
		return `${path} is not there`;
	}
	const count = testNames(path).filter((pattern) => pattern.test(name)).length;
	return count === 1 ? undefined : `${path} has ${count} tests of this name`;
}

/** The text of a test's file, and of what it uses of test/. */
export function testText(test: string): string {
	const seen = new Set<string>();
	const texts: string[] = [];
	const read = (path: string) => {
		if (seen.has(path) || !existsSync(path)) {
			return;
		}
		seen.add(path);
		const text = readFileSync(path, "utf8");
		texts.push(text);
		for (const [, from = ""] of text.matchAll(/from "(\.[^"]+)\.js"/g)) {
			const imported = `${normalize(join(dirname(path), from))}.ts`;
			if (imported.startsWith("test/") && !imported.endsWith("/start-workers.ts")) {
				read(imported);
			}
		}
		for (const [, worker = ""] of text.matchAll(/"([\w-]+-worker\.ts)"/g)) {
			read(`test/support/workers/${worker}`);
		}
		if (text.includes("startWorkers(")) {
			read("test/support/workers/recording-worker.ts");
		}
	};
	read(test.split(" › ")[0] ?? "");
	return texts.join("\n");
}

/** A pattern for the name of each `it` of a file. */
function testNames(path: string): RegExp[] {
	const names: RegExp[] = [];
	const visit = (node: ts.Node): void => {
		const [name] = ts.isCallExpression(node) && /^it(\.\w+)?$/.test(node.expression.getText()) ? node.arguments : [];
		if (name !== undefined && ts.isStringLiteralLike(name)) {
			names.push(new RegExp(`^${escaped(name.text)}$`));
		} else if (name !== undefined && ts.isTemplateExpression(name)) {
			const rest = name.templateSpans.map(({ literal }) => escaped(literal.text));
			names.push(new RegExp(`^${[escaped(name.head.text), ...rest].join(".*")}$`));
		}
		ts.forEachChild(node, visit);
	};
	visit(ts.createSourceFile(path, readFileSync(path, "utf8"), ts.ScriptTarget.Latest, true));
	return names;
}

function escaped(text: string): string {
	return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}
