import assert from "node:assert/strict";
import { copyFileSync, existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { version } from "../../src/version.js";
import { moduleOptions, publicEntries, strictOptions } from "../support/public-declarations.js";
import { installFlags, runNpm } from "../support/run-npm.js";
import { startBuiltServer } from "../support/start-built-server.js";
import { type CommandEnd, startCommand } from "../support/start-command.js";
import { tempDir } from "../support/temp-dir.js";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** What may be in the tarball. Maps would be three fifths of it, and the code is not minified. */
const shipped =
	/^(bin\/millrace\.js|dist\/[\w-]+\.(js|d\.ts)|proto\/millrace\/v1\/\w+\.proto|README\.md|LICENSE|CHANGELOG\.md|package\.json)$/;
const needed = ["bin/millrace.js", "README.md", "LICENSE", "CHANGELOG.md", "package.json", "dist/cli.js"].concat(
	publicEntries().flatMap(({ types }) => [relative(root, types), relative(root, types).replace(/d\.ts$/, "js")]),
	["dist/model-thread.js"],
	readdirSync(join(root, "proto/millrace/v1")).map((name) => `proto/millrace/v1/${name}`),
);

describe("the packed package, installed alone", { timeout: 300_000 }, () => {
	const tarballs = tempDir();
	const project = tempDir();
	let packed: { path: string; mode: number }[] = [];

	before(async () => {
		const pack = await runNpm(["pack", "--ignore-scripts", "--json", "--pack-destination", tarballs], root);
		assert.equal(pack.code, 0, pack.stderr);
		const [tarball] = JSON.parse(pack.stdout) as [{ filename: string; files: typeof packed }];
		packed = tarball.files;
		copyFileSync(join(tarballs, tarball.filename), join(project, tarball.filename));
		// Without it npm would look for a project in the folders above.
		writeFileSync(join(project, "package.json"), JSON.stringify({ type: "module" }));
		const install = await runNpm(["install", ...installFlags, `./${tarball.filename}`], project);
		assert.equal(install.code, 0, install.stderr);
	});

	/** Runs a script of the project. */
	async function run(source: string, env: Record<string, string> = {}): Promise<CommandEnd> {
		writeFileSync(join(project, "script.js"), source);
		return startCommand(process.execPath, ["script.js"], { cwd: project, env }).ended;
	}

	/** Runs a script that prints JSON. */
	async function runForJson(source: string, env?: Record<string, string>): Promise<unknown> {
		const { code, stdout, stderr } = await run(source, env);
		assert.deepEqual([code, stderr], [0, ""]);
		return JSON.parse(stdout);
	}

	it("holds the command, the build and the contract, and nothing else", () => {
		const paths = packed.map(({ path }) => path);
		assert.deepEqual(
			needed.filter((path) => !paths.includes(path)),
			[],
		);
		assert.deepEqual(
			paths.filter((path) => !shipped.test(path)),
			[],
		);
		assert.equal((packed.find(({ path }) => path === "bin/millrace.js")?.mode ?? 0) & 0o111, 0o111);
	});

	it("brings neither sqlite3 nor ONNX Runtime", async () => {
		for (const name of ["sqlite3", "onnxruntime-node"]) {
			assert.equal(existsSync(join(project, "node_modules", name)), false);
			const { code, stderr } = await run(`await import(${JSON.stringify(name)});`);
			assert.equal(code, 1);
			assert.match(stderr, /ERR_MODULE_NOT_FOUND/);
		}
	});

	it("queries a server", async () => {
		const server = await startBuiltServer();
		const script = `
			import { Client, client } from "millrace";
			await client.createModel("packed", { metadata: { from: "a tarball" } });
			const other = new Client({ server: process.env.MILLRACE_SERVER });
			const { name, metadata } = await other.getModel("packed");
			await other.close();
			console.log(JSON.stringify({ name, metadata }));`;
		assert.deepEqual(await runForJson(script, { MILLRACE_SERVER: server.address }), {
			name: "packed",
			metadata: { from: "a tarball" },
		});
		await server.stop();
	});

	it("says at npx millrace server what to install", async () => {
		const { code, stdout, stderr } = await runNpx(["millrace", "server", "--port", "0", "--data", tempDir()]);
		assert.deepEqual([code, stdout], [2, ""]);
		assert.match(stderr, /^millrace: .*npm install sqlite3$/m);
	});

	it("says at startServer what to install", async () => {
		const script = `
			import { startServer } from "millrace/server";
			const { code, message } = await startServer({ port: 0, dataDirectory: process.env.DATA }).catch((error) => error);
			console.log(JSON.stringify({ code, message }));`;
		assert.deepEqual(await runForJson(script, { DATA: tempDir() }), {
			code: "failed_precondition",
			message: "the Millrace server needs the package sqlite3: npm install sqlite3",
		});
	});

	it("says at a query that finds no server what to install", async () => {
		const data = tempDir();
		const script = `
			import { client } from "millrace";
			const { code, message } = await client.getModel("packed").then(() => "no error", (error) => error);
			console.log(JSON.stringify({ code, message }));`;
		assert.deepEqual(await runForJson(script, { MILLRACE_DATA: data }), {
			code: "failed_precondition",
			message: `the embedded server on ${data} did not start: the Millrace server needs the package sqlite3: npm install sqlite3`,
		});
	});

	it("says at a worker's first model what to install", async () => {
		const server = await startBuiltServer();
		const script = `
			import { BatchProcessor, batchProcess } from "millrace/runtime";
			class Doubler extends BatchProcessor {
				model = this.context.prepareModelForInference("double.onnx");
				async processBatch() {}
			}
			const error = await batchProcess(Doubler, [[1, 2]]).then(() => "no error", (error) => error);
			const timers = process.getActiveResourcesInfo().filter((name) => name === "Timeout").length;
			console.log(JSON.stringify({ code: error.code, message: error.message, timers }));`;
		copyFileSync(join(root, "test/support/fixtures/double.onnx"), join(project, "double.onnx"));
		assert.deepEqual(await runForJson(script, { MILLRACE_SERVER: server.address }), {
			code: "failed_precondition",
			message: "models need the package onnxruntime-node: npm install onnxruntime-node",
			// It ends at once.
			timers: 0,
		});
		await server.stop();
	});

	it("has a command that says its version and its commands", async () => {
		const versionEnd = await runNpx(["millrace", "--version"]);
		assert.deepEqual([versionEnd.code, versionEnd.stdout], [0, `${version}\n`]);
		const help = await runNpx(["millrace", "--help"]);
		assert.equal(help.code, 0);
		for (const command of ["run", "launch", "server"]) {
			assert.match(help.stdout, new RegExp(`^ +${command}\\b`, "m"));
		}
	});

	it("declares types that need no DOM library, and no package but Node's types", async () => {
		copyFileSync(join(root, "test/e2e/uses-types.ts"), join(project, "uses-types.ts"));
		const tsc = join(root, "node_modules/typescript/bin/tsc");
		for (const modules of moduleOptions) {
			const compilerOptions = { ...strictOptions, ...modules };
			writeFileSync(join(project, "tsconfig.json"), JSON.stringify({ compilerOptions, files: ["uses-types.ts"] }));
			const { code, stdout } = await startCommand(process.execPath, [tsc, "-p", project], { cwd: project }).ended;
			assert.deepEqual([code, stdout], [0, ""], modules.module);
		}
		for (const name of readdirSync(join(project, "node_modules/millrace/dist")).filter((name) =>
			/\.d\.ts$/.test(name),
		)) {
			const text = readFileSync(join(project, "node_modules/millrace/dist", name), "utf8");
			const imports = [...text.matchAll(/from '([^']+)'|^import '([^']+)'/gm)].map(([, from, bare]) => from ?? bare);
			assert.deepEqual(
				imports.filter((from) => !from?.startsWith("./")),
				[],
				name,
			);
		}
	});

	/** Runs a command of the project. */
	function runNpx(args: readonly string[]): Promise<CommandEnd> {
		return startCommand("npx", args, { cwd: project }).ended;
	}
});
