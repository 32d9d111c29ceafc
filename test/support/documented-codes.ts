import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** A row of the table of codes in docs/ERRORS.md. */
export interface DocumentedCode {
	readonly code: string;
	readonly when: string;
	readonly remedy: string;
}

/** Reads the table of codes of docs/ERRORS.md. */
export function documentedCodes(): DocumentedCode[] {
	const page = readFileSync(fileURLToPath(new URL("../../docs/ERRORS.md", import.meta.url)), "utf8");
	const [, section = ""] = /^## The codes$(.*?)^## /ms.exec(page) ?? [];
	return [...section.matchAll(/^\| `(\w+)` \|([^|]*)\|([^|]*)\|$/gm)].map(([, code = "", when = "", remedy = ""]) => ({
		code,
		when: when.trim(),
		remedy: remedy.trim(),
	}));
}
