import assert from "node:assert/strict";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import {
	compile,
	errorsOf,
	findAny,
	moduleOptions,
	programOfEveryMethod,
	publicEntries,
	strictOptions,
} from "../support/public-declarations.js";
import { tempDir } from "../support/temp-dir.js";

const root = fileURLToPath(new URL("../..", import.meta.url));
const entries = publicEntries();
const ownOptions = { ...strictOptions, ...moduleOptions[0] };

describe("the declarations of the package's entries", { timeout: 300_000 }, () => {
	it("have no any, neither written nor resolved", () => {
		const folders = new Set(entries.map(({ types }) => dirname(types)));
		const program = compile(
			entries.map(({ types }) => types),
			ownOptions,
		);
		assert.deepEqual(
			findAny(program, (file) => folders.has(dirname(file))),
			[],
		);
	});

	it("let a strict project without DOM call every function and method", () => {
		const project = tempDir();
		mkdirSync(join(project, "node_modules"));
		symlinkSync(root, join(project, "node_modules/millrace"));
		writeFileSync(join(project, "package.json"), JSON.stringify({ type: "module" }));
		const declarations = compile(
			entries.map(({ types }) => types),
			ownOptions,
		);
		const files = entries.map((entry, i) => {
			const file = join(project, `every-method-${i}.ts`);
			const program = programOfEveryMethod(declarations, entry);
			assert.match(program, /call\d/, `${entry.name} has nothing to call`);
			writeFileSync(file, program);
			return file;
		});
		for (const options of moduleOptions) {
			assert.deepEqual(errorsOf(compile(files, { ...strictOptions, ...options })), [], options.module);
		}
	});
});

describe("findAny", () => {
	it("finds an any that is written, inferred, or comes from a module that is not there", () => {
		const folder = tempDir();
		const file = join(folder, "planted.d.ts");
		writeFileSync(
			file,
			`import { Absent } from "./absent.js";
			export declare function written(value: any): void;
			export declare function resolved(): ReturnType<typeof JSON.parse>;
			export declare const absent: Absent;
			export declare class Fine { private hidden; #own; method(): unknown; }`,
		);
		const found = findAny(compile([file], ownOptions), (name) => name === file);
		const places = new Set(found.map((place) => Number(/:(\d+) /.exec(place)?.[1])));
		assert.deepEqual([...places], [2, 3, 4]);
	});
});
