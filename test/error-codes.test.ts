import assert from "node:assert/strict";
import { describe, it } from "node:test";
import ts from "typescript";
import { documentedCodes } from "./support/documented-codes.js";
import { nodesOf, sourceFiles } from "./support/source-files.js";

/** Errors of another class than ours: where, which class, and why. */
// In alphabetical order.
const exceptions: Readonly<Record<string, string>> = {
	"src/runtime/native-call-guard.ts Error": "never seen: the process exits",
	"src/server/db/write-queue.ts Error": "a fault of ours: a transaction was used after its end",
	"src/server/http/connect-error.ts ConnectError": "what Connect's library sends as we mean it",
};

/** Commander's own error for an argument of a command, which it prints with the argument's name. */
function isOfCommander(fileName: string, name: string): boolean {
	return fileName.startsWith("src/cli/") && name === "InvalidArgumentError";
}

/** What the entry of a thread says where we import it by mistake. */
function isThreadEntry({ arguments: given }: ts.NewExpression): boolean {
	return given?.some((argument) => argument.getText().includes("is the entry of a worker thread")) ?? false;
}

describe("the codes of docs/ERRORS.md", () => {
	const rows = documentedCodes();
	const sources = sourceFiles("src");

	it("are those of ErrorCode, each once, with when it occurs", () => {
		const [errors] = sources.filter(({ fileName }) => fileName === "src/errors.ts");
		assert.ok(errors);
		const [union] = nodesOf(errors, ts.isTypeAliasDeclaration).filter(({ name }) => name.text === "ErrorCode");
		assert.ok(union);
		const codes = [...union.type.getText().matchAll(/"(\w+)"/g)].map(([, code]) => code);
		assert.deepEqual(rows.map(({ code }) => code).sort(), codes.sort());
		for (const { code, when, remedy } of rows) {
			assert.ok(when.length > 10, `${code} says when it occurs`);
			assert.ok(remedy !== "" || when.startsWith("reserved"), `${code} says what to do`);
		}
	});

	it("are reserved where the sources do not name them, and only there", () => {
		const table = ["src/errors.ts", "src/rpc/status.ts"];
		const named = new Set(
			sources
				.filter(({ fileName }) => !table.includes(fileName))
				.flatMap((source) => nodesOf(source, ts.isStringLiteral).map(({ text }) => text)),
		);
		for (const { code, when } of rows) {
			assert.equal(when.startsWith("reserved"), !named.has(code), code);
		}
	});
});

describe("the sources", () => {
	it("make errors of the one class only, but for faults of their own", () => {
		const found = new Set(
			sourceFiles("src").flatMap((source) =>
				nodesOf(source, ts.isNewExpression)
					.filter((made) => !isThreadEntry(made))
					.map(({ expression }) => expression.getText())
					.filter((name) => /(Error|Exception)$/.test(name) && name !== "MillraceError")
					.filter((name) => !isOfCommander(source.fileName, name))
					.map((name) => `${source.fileName} ${name}`),
			),
		);
		assert.deepEqual([...found].sort(), Object.keys(exceptions));
	});

	it("throw no text and no object", () => {
		for (const source of sourceFiles("src")) {
			for (const { expression } of nodesOf(source, ts.isThrowStatement)) {
				const isValue = ts.isStringLiteralLike(expression) || ts.isObjectLiteralExpression(expression);
				assert.ok(!isValue && !ts.isTemplateExpression(expression), `${source.fileName}: ${expression.getText()}`);
			}
		}
	});
});
