import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { isBuiltin } from "node:module";
import { join } from "node:path";
import { before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { startCommand } from "../support/start-command.js";
import { tempDir } from "../support/temp-dir.js";

const root = fileURLToPath(new URL("../..", import.meta.url));

describe("the built SDK", { timeout: 60_000 }, () => {
	const directory = tempDir();
	before(async () => {
		const tsup = join(root, "node_modules/tsup/dist/cli-default.js");
		const { code, stderr } = await startCommand(process.execPath, [tsup, "--no-dts", "--out-dir", directory], {
			cwd: root,
		}).ended;
		assert.equal(code, 0, stderr);
	});

	it("imports no package but those that npm install brings", () => {
		const packages = modulesOf(join(directory, "index.js")).packages;
		const { dependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
		assert.deepEqual(packages, ["@bufbuild/protobuf", "@grpc/grpc-js"]);
		assert.ok(packages.every((name) => name in dependencies));
	});

	it("holds code of its own rooms only", () => {
		const sources = modulesOf(join(directory, "index.js")).sources;
		assert.ok(sources.includes("src/sdk/client.ts"));
		const foreign = sources.filter((source) => !/^src\/((sdk|rpc|storage|gen)\/|[\w-]+\.ts$)/.test(source));
		assert.deepEqual(foreign, []);
		assert.equal(sources.includes("src/rpc/server.ts"), false);
	});
});

/** The packages that a built module and those below it import, and the sources that they are made of. */
function modulesOf(entry: string): { packages: string[]; sources: string[] } {
	const seen = new Set<string>();
	const packages = new Set<string>();
	const sources = new Set<string>();
	const visit = (path: string): void => {
		if (seen.has(path)) {
			return;
		}
		seen.add(path);
		const map = JSON.parse(readFileSync(`${path}.map`, "utf8")) as { sources: string[] };
		for (const source of map.sources) {
			sources.add(source.slice(source.lastIndexOf("src/")));
		}
		for (const [, name = ""] of readFileSync(path, "utf8").matchAll(
			/^(?:import|export|\} from) ?[^\n]*?"([^"\n]+)";$/gm,
		)) {
			if (name.startsWith(".")) {
				visit(join(path, "..", name));
			} else if (!isBuiltin(name)) {
				packages.add(name.startsWith("@") ? name.split("/", 2).join("/") : (name.split("/")[0] ?? ""));
			}
		}
	};
	visit(entry);
	return { packages: [...packages].sort(), sources: [...sources].sort() };
}
