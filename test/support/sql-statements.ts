import ts from "typescript";
import { Connection } from "../../src/server/db/database.js";
import { nodesOf, sourceFiles } from "./source-files.js";

/** A text of SQL in the sources of db/. */
export interface SourceStatement {
	readonly file: string;
	/** The text; undefined where it is put together when it is used. */
	readonly sql: string | undefined;
	/** Matches what the server may send to SQLite. */
	readonly pattern: RegExp;
}

/** Calls `listener` with every text that goes to SQLite from now on. Returns what ends it. */
export function recordStatements(listener: (sql: string) => void): () => void {
	const { all, run } = Connection.prototype;
	Connection.prototype.all = function (sql, ...parameters) {
		listener(sql);
		return all.call(this, sql, ...parameters) as never;
	};
	Connection.prototype.run = function (sql, ...parameters) {
		listener(sql);
		return run.call(this, sql, ...parameters);
	};
	return () => Object.assign(Connection.prototype, { all, run });
}

/** Finds what the files of db/, but for migrations, hand to `all`, `get` and `run`. */
export function sourceStatements(): SourceStatement[] {
	return sourceFiles("src/server/db")
		.filter(({ fileName }) => !fileName.includes("/migrations/"))
		.flatMap((source) =>
			nodesOf(source, ts.isCallExpression)
				.filter(({ expression }) => ts.isPropertyAccessExpression(expression) && isReader(expression))
				.flatMap(({ arguments: [sql] }) => (sql === undefined ? [] : literalsOf(sql)))
				.map((literal) => ({
					file: source.fileName,
					sql: ts.isStringLiteralLike(literal) ? literal.text : undefined,
					pattern: patternOf(literal),
				})),
		);
}

function isReader({ name, expression }: ts.PropertyAccessExpression): boolean {
	return /^(all|get|run)$/.test(name.text) && /(^|#|\.)(db|tx|connection|writer)$/.test(expression.getText());
}

type Literal = ts.StringLiteralLike | ts.TemplateExpression;

function literalsOf(expression: ts.Expression): Literal[] {
	if (ts.isConditionalExpression(expression)) {
		return [...literalsOf(expression.whenTrue), ...literalsOf(expression.whenFalse)];
	}
	return ts.isStringLiteralLike(expression) || ts.isTemplateExpression(expression) ? [expression] : [];
}

function patternOf(literal: Literal): RegExp {
	const texts = ts.isStringLiteralLike(literal)
		? [literal.text]
		: [literal.head.text, ...literal.templateSpans.map((span) => span.literal.text)];
	return new RegExp(`^${texts.map((text) => text.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&")).join("[^]*")}$`);
}
