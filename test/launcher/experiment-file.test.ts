import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { readExperimentFile } from "../../src/launcher/experiment-file.js";
import { tempDir } from "../support/temp-dir.js";

describe("readExperimentFile", () => {
	const directory = tempDir();
	const path = join(directory, "digits.yaml");
	const read = (text: string) => {
		writeFileSync(path, text);
		return readExperimentFile(path);
	};
	const refused = (text: string) => {
		try {
			read(text);
		} catch (error) {
			assert.equal((error as { code?: string }).code, "invalid_argument");
			return (error as Error).message.replace(path, "FILE");
		}
		throw new assert.AssertionError({ message: "it was not refused" });
	};

	it("reads YAML, merge keys included", () => {
		const { config, warnings } = read("data: {a: &a {x: 1}, b: {<<: *a, y: 2}}\nname: n\nworkspace: w\n");
		assert.deepEqual(config.data.b, { x: 1, y: 2 });
		assert.equal(config.name, "n");
		assert.equal(warnings.length, 1);
	});

	it("names an experiment without a name after the file", () => {
		assert.equal(read("max_restarts: 1").config.name, "digits");
	});

	it("names line and column of what is not YAML", () => {
		assert.match(refused("name: a\ndata: [1, 2\n"), /^FILE:3:1: not YAML: Flow sequence/);
		assert.match(refused("name: a\nname: b\n"), /^FILE:2:1: not YAML: Map keys must be unique$/);
		assert.match(refused("a: *b\n"), /^FILE: .*[Uu]nresolved alias.*b/);
	});

	it("names the file of a broken rule", () => {
		assert.match(refused("resources: {slots_per_trial: 0}"), /^FILE: resources\.slots_per_trial must be/);
		assert.match(refused(""), /^FILE: the configuration must be a map/);
		assert.match(refused("just words"), /^FILE: the configuration must be a map of keys, not "just words"/);
	});

	it("refuses a file that is not there, and a directory", () => {
		assert.throws(() => readExperimentFile(join(directory, "none.yaml")), /none\.yaml: no such file; give/);
		assert.throws(() => readExperimentFile(directory), /: this is a directory; give/);
	});
});
