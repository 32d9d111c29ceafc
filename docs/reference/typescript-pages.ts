import { readFileSync } from "node:fs";
import { basename, resolve } from "node:path";
import { Application, OptionDefaults, type TypeDocOptions } from "typedoc";
import type { PluginOptions } from "typedoc-plugin-markdown";
import { keepRemarksOfMethods } from "./param-remarks.js";

/** The entries of the package, and the files that they are made of. */
export const entries: Readonly<Record<string, string>> = {
	millrace: "src/sdk/index.ts",
	"millrace/runtime": "src/runtime/index.ts",
	"millrace/server": "src/server/index.ts",
	"millrace/testing": "src/testing/index.ts",
};

/**
 * Writes a page for each entry of the package, from its doc comments.
 *
 * Throws if a comment is malformed, or links to what is not there.
 */
export async function writeTypescriptPages(directory: string): Promise<void> {
	const options: TypeDocOptions & Partial<PluginOptions> = {
		entryPoints: Object.values(entries),
		tsconfig: "docs/reference/tsconfig.json",
		plugin: ["typedoc-plugin-markdown"],
		router: "module",
		out: resolve(directory),
		name: "Millrace",
		readme: "none",
		// Line numbers would change with every commit.
		disableSources: true,
		disableGit: true,
		cleanOutputDir: false,
		// The compiler has its own step.
		skipErrorChecking: true,
		excludeInternal: true,
		excludePrivate: true,
		excludeExternals: true,
		blockTags: [...OptionDefaults.blockTags, "@generated"],
		hidePageHeader: true,
		hideBreadcrumbs: true,
		useCodeBlocks: true,
		parametersFormat: "table",
		interfacePropertiesFormat: "table",
		classPropertiesFormat: "table",
		typeDeclarationFormat: "table",
		propertyMembersFormat: "table",
		enumMembersFormat: "table",
		logLevel: "Warn",
		treatWarningsAsErrors: true,
	};
	const app = await Application.bootstrapWithPlugins(options);
	keepRemarksOfMethods(app);
	const project = await app.convert();
	if (project === undefined) {
		throw new Error("the doc comments could not be read");
	}
	await app.generateOutputs(project);
	if (app.logger.hasErrors() || app.logger.hasWarnings()) {
		throw new Error("the doc comments are not in order");
	}
}

/** The path of an entry's page, below the directory. */
export function pageOf(entry: string): string {
	return `${entry}.md`;
}

/** The first sentence of an entry, as its file says it. */
export function summaryOf(entry: string): string {
	const path = entries[entry] ?? "";
	const [, comment = ""] = /^\/\*\*(.*?)\*\//s.exec(readFileSync(path, "utf8")) ?? [];
	const text = comment.replace(/^\s*\* ?/gm, "").split("@module")[0] ?? "";
	const [first = basename(path)] = text.trim().split(/(?<=\.)\s/);
	return first.replace(/\s+/g, " ");
}
