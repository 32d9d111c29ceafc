import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** A block of TypeScript of a page. */
export interface PageExample {
	/** The page, and the line of the block's first line. */
	readonly place: string;
	/** The name of the file that the page calls it, as in "in `worker.ts`:"; undefined if it gives none. */
	readonly file: string | undefined;
	readonly code: string;
}

/** All blocks of TypeScript of a page; of one of the reference those below the heading "Example". */
export function examplesOf(page: string, below: RegExp = /(?:)/): PageExample[] {
	const text = readFileSync(page, "utf8");
	const examples: PageExample[] = [];
	for (const match of text.matchAll(/^```ts\n(.*?)^```$/gms)) {
		const before = text.slice(0, match.index);
		const heading = /^#+ .*$/gm.exec(before.slice(before.lastIndexOf("\n#") + 1))?.[0] ?? "";
		if (below.test(heading)) {
			const [, file] = /`([\w-]+(?:\.\w+)*\.ts)`:\s*$/.exec(before) ?? [];
			examples.push({ place: `${page}:${before.split("\n").length + 1}`, file, code: match[1] ?? "" });
		}
	}
	return examples;
}

/** The pages below a directory. */
export function pagesIn(directory: string): string[] {
	const paths = readdirSync(directory, { recursive: true, encoding: "utf8" });
	return paths.filter((path) => path.endsWith(".md")).map((path) => join(directory, path));
}
