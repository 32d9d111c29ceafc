import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { messagesPage, type ServicePage, writeProtoPages } from "./proto-pages.js";
import { entries, pageOf, summaryOf, writeTypescriptPages } from "./typescript-pages.js";

/** Writes the API reference into a directory, which is emptied first. */
export async function writeReference(directory: string): Promise<void> {
	rmSync(directory, { recursive: true, force: true });
	await writeTypescriptPages(directory);
	const services = writeProtoPages(directory);
	writeFileSync(join(directory, "README.md"), indexText(services));
}

function indexText(services: readonly ServicePage[]): string {
	return `# API reference

Made from the comments in the sources by \`npm run docs\`; do not edit it.

## TypeScript

| import | |
| --- | --- |
${Object.keys(entries)
	.map((entry) => `| [\`${entry}\`](${pageOf(entry)}) | ${summaryOf(entry)} |`)
	.join("\n")}

What each error code means: [ERRORS.md](../ERRORS.md). The names of Determined's Python SDK: [PYTHON.md](../PYTHON.md).

## gRPC

Package \`millrace.v1\`. The server also answers health checks and reflection. Errors carry their code as the gRPC
status, and a sentence that names the field, the value and what to do.

| service | |
| --- | --- |
${services.map(({ name, path, summary }) => `| [\`${name}\`](${path}) | ${summary.replace(/\s+/g, " ")} |`).join("\n")}
| [messages and enums](${messagesPage}) | What several of them use. |
`;
}
