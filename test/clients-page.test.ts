import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import { readProtoFiles } from "../docs/reference/proto-file.js";

const root = fileURLToPath(new URL("..", import.meta.url));
const read = (path: string) => readFileSync(join(root, path), "utf8");
const page = read("docs/clients.md");

/** Where each client says how it repeats calls. */
const connections = {
	python: "connection.py",
	go: "connection.go",
	java: "src/main/java/example/Connection.java",
};

/** Reads the service configuration in a text: JSON, but for a comma after the last of several. */
function serviceConfigIn(text: string): unknown {
	const start = text.lastIndexOf("{", text.indexOf('"methodConfig"'));
	let depth = 0;
	const length = [...text.slice(start)].findIndex((character) => {
		depth += character === "{" ? 1 : character === "}" ? -1 : 0;
		return depth === 0;
	});
	return JSON.parse(text.slice(start, start + length + 1).replace(/,(?=\s*[}\]])/g, ""));
}

describe("docs/clients.md", () => {
	it("has the commands of each client's README, which the tests of the clients run", () => {
		for (const language of Object.keys(connections)) {
			const [block = ""] = /^```sh\n.*?^```$/ms.exec(read(`examples/clients/${language}/README.md`)) ?? [];
			assert.notEqual(block, "", language);
			assert.ok(page.includes(block), language);
		}
	});

	it("has the service configuration of the clients", () => {
		const config = serviceConfigIn(page);
		for (const [language, file] of Object.entries(connections)) {
			assert.deepEqual(serviceConfigIn(read(`examples/clients/${language}/${file}`)), config, language);
		}
	});

	it("names the methods that may not be repeated", () => {
		const unmarked = readProtoFiles().flatMap(({ descriptor }) =>
			descriptor.service.flatMap(({ name, method }) =>
				method
					.filter(
						({ options }) => (options?.idempotencyLevel ?? 0) === MethodOptions_IdempotencyLevel.IDEMPOTENCY_UNKNOWN,
					)
					.map((unknown) => `${name}.${unknown.name}`),
			),
		);
		const [, row = ""] = /^\| none \| (.*?) \|/m.exec(page) ?? [];
		assert.deepEqual(
			[...row.matchAll(/`(\w+\.\w+)`/g)].map(([, name]) => name),
			unmarked,
		);
	});
});
