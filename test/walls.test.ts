import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { after, before, describe, it } from "node:test";

/** Who may import whom: design's table, as biome.json has to hold it. */
const allowed: Readonly<Record<string, readonly string[]>> = {
	rpc: ["gen"],
	storage: ["gen"],
	rendezvous: ["rpc", "gen"],
	server: ["rendezvous", "storage", "rpc", "gen"],
	sdk: ["rpc", "storage", "gen"],
	runtime: ["sdk", "rendezvous", "storage", "rpc", "gen"],
	testing: ["runtime", "sdk", "rendezvous", "storage", "rpc", "gen"],
	launcher: ["sdk", "rendezvous"],
	cli: ["sdk", "server", "runtime", "rendezvous", "storage", "rpc", "launcher", "testing"],
};
const packages: Readonly<Record<string, string>> = {
	"@grpc/grpc-js": "src/rpc/planted.ts",
	sqlite3: "src/server/db/database.ts",
	"onnxruntime-node": "src/runtime/model-thread.ts",
};

const require = createRequire(import.meta.url);
const biome = join(dirname(require.resolve("@biomejs/biome/package.json")), "bin", "biome");

describe("the walls between the rooms", () => {
	let folder = "";
	let offenders: ReadonlySet<string> = new Set();

	function plant(path: string, text: string): string {
		mkdirSync(dirname(join(folder, path)), { recursive: true });
		writeFileSync(join(folder, path), text);
		return path;
	}

	before(() => {
		folder = realpathSync(mkdtempSync(join(tmpdir(), "millrace-walls-")));
		copyFileSync("biome.json", join(folder, "biome.json"));
		for (const room of Object.keys(allowed)) {
			for (const other of Object.keys(allowed).filter((name) => name !== room)) {
				plant(`src/${room}/to-${other}.ts`, `import "../${other}/x.js";\n`);
			}
			for (const name of Object.keys(packages)) {
				plant(`src/${room}/to-package-${name.replace(/\W/g, "-")}.ts`, `import "${name}";\n`);
			}
		}
		for (const [name, owner] of Object.entries(packages)) {
			plant(owner, `import "${name}";\n`);
		}
		plant("src/top.ts", 'import "./sdk/x.js";\n');
		plant("src/rpc/one.ts", 'import { two } from "./two.js";\nexport const one = two;\n');
		plant("src/rpc/two.ts", 'import { one } from "./one.js";\nexport const two = one;\n');
		const args = [biome, "lint", "--vcs-enabled=false", "--max-diagnostics=none", "--reporter=github", "."];
		const { stdout, stderr } = spawnSync(process.execPath, args, { cwd: folder, encoding: "utf8" });
		const paths = [
			...stdout.matchAll(/title=lint\/(?:style\/noRestrictedImports|suspicious\/noImportCycles),file=([^,]+)/g),
		];
		offenders = new Set(paths.map(([, path]) => relative(folder, path ?? "")));
		assert.ok(offenders.size > 0, stderr);
	});

	after(() => rmSync(folder, { recursive: true, force: true }));

	for (const [room, others] of Object.entries(allowed)) {
		it(`lets ${room} import ${others.join(", ")}, and no other room`, () => {
			for (const other of Object.keys(allowed).filter((name) => name !== room)) {
				assert.equal(offenders.has(`src/${room}/to-${other}.ts`), !others.includes(other), `${room} -> ${other}`);
			}
		});
	}

	it("keeps each native or wire package in one place", () => {
		for (const [name, owner] of Object.entries(packages)) {
			assert.ok(!offenders.has(owner), `${owner} owns ${name}`);
			const elsewhere = `src/sdk/to-package-${name.replace(/\W/g, "-")}.ts`;
			assert.ok(offenders.has(elsewhere), elsewhere);
		}
	});

	it("keeps the files at the top of src free of rooms", () => {
		assert.ok(offenders.has("src/top.ts"));
	});

	it("refuses import cycles", () => {
		assert.ok(offenders.has("src/rpc/one.ts") || offenders.has("src/rpc/two.ts"));
	});
});
