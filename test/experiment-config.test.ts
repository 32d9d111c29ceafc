import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { parse } from "yaml";
import { MillraceError } from "../src/errors.js";
import { environmentVariablesOf, hparamsOf, parseExperimentConfig } from "../src/experiment-config.js";

describe("parseExperimentConfig", () => {
	it("fills in the defaults", () => {
		assert.deepEqual(parseExperimentConfig({ name: "a" }), {
			config: {
				name: "a",
				description: "",
				labels: [],
				resources: { slots_per_trial: 1 },
				max_restarts: 5,
				hyperparameters: {},
				data: {},
			},
			warnings: [],
		});
	});

	it("takes every key that it uses", () => {
		const { config, warnings } = parseExperimentConfig(parse(full));
		assert.deepEqual(warnings, []);
		assert.deepEqual(config, parse(full));
	});

	it("takes an entrypoint as a list", () => {
		assert.deepEqual(parseExperimentConfig({ entrypoint: ["node", "w.js"] }).config.entrypoint, ["node", "w.js"]);
	});

	it("treats a key without a value as absent", () => {
		const { config } = parseExperimentConfig(parse("name:\nentrypoint:\nresources:\nenvironment:\nsearcher:\n"));
		assert.equal(config.name, "experiment");
		assert.equal("entrypoint" in config, false);
		assert.equal("environment" in config, false);
	});

	it("leaves the user's value and keys untouched", () => {
		const value = { hyperparameters: { learning_rate: 0.1, Nested: { "odd key": 1 } }, data: { some_Key: [1] } };
		const before = structuredClone(value);
		const { config } = parseExperimentConfig(value);
		assert.deepEqual(value, before);
		assert.deepEqual(config.hyperparameters, before.hyperparameters);
		assert.deepEqual(config.data, before.data);
	});

	it("gives one warning for the keys that Determined knows and Millrace does not use", () => {
		const { config, warnings } = parseExperimentConfig(
			parse(`
workspace: w
bind_mounts: [{host_path: /a, container_path: /b}]
resources: {resource_pool: default, slots_per_trial: 2}
environment: {image: "x:1", environment_variables: [A=1]}
checkpoint_storage: {type: shared_fs, host_path: /tmp, save_trial_best: 0}
searcher: {name: single, metric: loss, source_trial_id: 3}
`),
		);
		assert.equal(warnings.length, 1);
		for (const key of [
			"workspace",
			"bind_mounts",
			"resources.resource_pool",
			"environment.image",
			"checkpoint_storage.save_trial_best",
			"searcher.source_trial_id",
		]) {
			assert.match(warnings[0] ?? "", new RegExp(`\\b${key.replace(".", "\\.")}\\b`));
		}
		assert.doesNotMatch(warnings[0] ?? "", /slots_per_trial|metric|environment_variables/);
		assert.equal(config.workspace, "w");
	});

	const refused: [string, string, RegExp][] = [
		["a list", "[1, 2]", /^the configuration must be a map of keys, not \[1,2\]/],
		["a word", "hello", /^the configuration must be a map of keys, not "hello"/],
		["nothing", "", /^the configuration must be a map of keys, not null/],
		["an unknown key", "entry_point: a", /^unknown key entry_point; did you mean entrypoint\?$/],
		[
			"an unknown key of resources",
			"resources: {slot_per_trial: 1}",
			/^unknown key slot_per_trial in resources; did you mean slots_per_trial\?$/,
		],
		[
			"a key like none",
			"resources: {zzzzzzzz: 1}",
			/^unknown key zzzzzzzz in resources; the keys here are slots_per_tr/,
		],
		["a key named as a method", "toString: 1", /^unknown key toString/],
		[
			"an unknown key of environment",
			"environment: {imag: 1}",
			/^unknown key imag in environment; did you mean image\?$/,
		],
		["0 slots", "resources: {slots_per_trial: 0}", /^resources\.slots_per_trial must be a positive integer, not 0;/],
		["slots as a word", 'resources: {slots_per_trial: "two"}', /^resources\.slots_per_trial .* not "two"; give/],
		["broken slots", "resources: {slots_per_trial: 1.5}", /not 1\.5/],
		["slots beyond int32", "resources: {slots_per_trial: 3000000000}", /not 3000000000/],
		["negative max_restarts", "max_restarts: -1", /^max_restarts must be a whole number, 0 or more, not -1/],
		["a number as name", "name: 3", /^name must be a string, not 3; put it in quotes$/],
		["labels that are no list", "labels: a", /^labels must be a list of strings, not "a"/],
		["an empty entrypoint", 'entrypoint: " "', /^entrypoint must be a command line or a list/],
		["a number in an entrypoint", "entrypoint: [node, 1]", /^entrypoint must be .* not \["node",1\]/],
		["an empty list as entrypoint", "entrypoint: []", /^entrypoint must be/],
		[
			"a searched hyperparameter",
			"hyperparameters: {lr: {type: log, minval: 1}}",
			/^hyperparameters\.lr has the type log/,
		],
		["a nested searched one", "hyperparameters: {a: {b: {type: int}}}", /^hyperparameters\.a\.b has the type int/],
		["a const without val", "hyperparameters: {lr: {type: const}}", /^hyperparameters\.lr must be \{type: const, val/],
		["NaN", "hyperparameters: {lr: .nan}", /^hyperparameters\.lr must be a value of JSON, not NaN/],
		["hyperparameters as a list", "hyperparameters: [1]", /^hyperparameters must be a map of keys, not \[1\]/],
		["data as a word", "data: x", /^data must be a map of keys, not "x"/],
		["an alias to itself", "data: &a {b: *a}", /^data\.b contains itself/],
		["other storage", "checkpoint_storage: {type: s3, bucket: b}", /shared_fs or directory, not "s3"/],
		["storage without a type", "checkpoint_storage: {host_path: /a}", /shared_fs or directory, not nothing/],
		[
			"a relative host_path",
			"checkpoint_storage: {type: shared_fs, host_path: a}",
			/^checkpoint_storage\.host_path must be an abs/,
		],
		["no host_path", "checkpoint_storage: {type: shared_fs}", /^checkpoint_storage\.host_path .* not nothing/],
		[
			"a storage_path that leaves",
			"checkpoint_storage: {type: shared_fs, host_path: /a, storage_path: ../b}",
			/below host_path/,
		],
		[
			"a directory with host_path",
			"checkpoint_storage: {type: directory, host_path: /a}",
			/^unknown key host_path in checkpoint/,
		],
		["another searcher", "searcher: {name: grid}", /^searcher\.name must be single, not "grid"/],
		["an unknown key of searcher", "searcher: {nam: single}", /^unknown key nam in searcher; did you mean name\?$/],
		[
			"a variable without =",
			"environment: {environment_variables: [A]}",
			/has the entry "A"; write it as "NAME=value"/,
		],
		[
			"a list as variable",
			"environment: {environment_variables: {A: [1]}}",
			/environment_variables\.A must be a string/,
		],
	];
	for (const [what, yaml, message] of refused) {
		it(`refuses ${what}`, () => {
			assert.throws(
				() => parseExperimentConfig(parse(yaml)),
				(error) => {
					assert.ok(error instanceof MillraceError);
					assert.equal(error.code, "invalid_argument");
					assert.match(error.message, message);
					return true;
				},
			);
		});
	}

	it("refuses what is not JSON", () => {
		const value: Record<string, unknown> = { data: { f: () => 1 } };
		assert.throws(() => parseExperimentConfig(value), /data\.f must be a value of JSON, not a function/);
		assert.throws(() => parseExperimentConfig({ data: { n: 1n } }), /data\.n must be a value of JSON, not 1/);
		assert.throws(() => parseExperimentConfig({ data: { d: new Date() } }), /data\.d must be a value of JSON/);
		assert.throws(() => parseExperimentConfig(undefined), /: the configuration must be a value of JSON, not nothing/);
	});
});

describe("hparamsOf", () => {
	it("replaces constants by their values, at every depth", () => {
		const yaml = "hyperparameters: {a: {type: const, val: [1]}, b: {c: {type: const, val: x}}, d: {type: adam, n: 1}}";
		assert.deepEqual(hparamsOf(parseExperimentConfig(parse(yaml)).config), {
			a: [1],
			b: { c: "x" },
			d: { type: "adam", n: 1 },
		});
	});
});

describe("environmentVariablesOf", () => {
	const of = (variables: string) =>
		environmentVariablesOf(parseExperimentConfig(parse(`environment: {environment_variables: ${variables}}`)).config);

	it("reads a list", () => assert.deepEqual(of('[A=1, "B=x=y", C=]'), { A: "1", B: "x=y", C: "" }));
	it("reads a map", () => assert.deepEqual(of("{A: 1, B: true, c: d}"), { A: "1", B: "true", c: "d" }));
	it("reads Determined's cpu list", () => assert.deepEqual(of("{cpu: [A=1], gpu: [A=2]}"), { A: "1" }));
	it("takes a variable named cpu", () => assert.deepEqual(of("{cpu: 4}"), { cpu: "4" }));
	it("is empty without any", () => assert.deepEqual(environmentVariablesOf(parseExperimentConfig({}).config), {}));
});

const full = `
name: mnist
description: digits
labels: [a, b]
entrypoint: npx tsx worker.ts
resources:
  slots_per_trial: 2
max_restarts: 0
hyperparameters:
  lr: 0.1
  sizes: [1, 2]
  nested: {a: {type: const, val: 3}}
data:
  path: data.json
checkpoint_storage:
  type: shared_fs
  host_path: /mnt
  storage_path: a/b
environment:
  environment_variables: [A=1]
searcher:
  name: single
  metric: loss
  smaller_is_better: true
  max_length: {batches: 1}
`;
