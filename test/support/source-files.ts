import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** Parses the TypeScript files below a folder of the repository, but generated ones. Their names begin at the root. */
export function sourceFiles(folder: string): ts.SourceFile[] {
	return readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
		.map((name) => join(root, folder, name))
		.filter((path) => path.endsWith(".ts") && !path.includes("/gen/"))
		.sort()
		.map((path) => ts.createSourceFile(relative(root, path), readFileSync(path, "utf8"), ts.ScriptTarget.ES2023, true));
}

/** All nodes of a file that are of a kind, in their order. */
export function nodesOf<N extends ts.Node>(source: ts.SourceFile, isOfKind: (node: ts.Node) => node is N): N[] {
	const found: N[] = [];
	const visit = (node: ts.Node): void => {
		if (isOfKind(node)) {
			found.push(node);
		}
		ts.forEachChild(node, visit);
	};
	visit(source);
	return found;
}
