import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import * as runtime from "../src/runtime/index.js";
import * as sdk from "../src/sdk/index.js";

const classes: Readonly<Record<string, { prototype: object }>> = {
	client: sdk.Client,
	Checkpoint: sdk.Checkpoint,
	Model: sdk.Model,
	ModelVersion: sdk.ModelVersion,
	Trial: sdk.Trial,
	Experiment: sdk.Experiment,
	DistributedContext: runtime.DistributedContext,
};

/** The names in the table's middle column, as [object, method]. */
const methods = [...readFileSync("docs/PYTHON.md", "utf8").matchAll(/^\|[^|]*\| `(\w+)\.(\w+)\(/gm)].map(
	([, owner, method]) => [owner ?? "", method ?? ""] as const,
);

describe("docs/PYTHON.md", () => {
	it("names only methods that exist", () => {
		assert.ok(methods.length > 40, `only ${methods.length} rows were found`);
		for (const [owner, method] of methods) {
			const found = classes[owner];
			if (found !== undefined) {
				assert.ok(method in found.prototype || method in found, `${owner}.${method}`);
			}
		}
	});

	it("names every public method of the SDK", () => {
		for (const [owner, { prototype }] of Object.entries(classes).filter(([name]) => name !== "DistributedContext")) {
			const own = Object.getOwnPropertyNames(prototype).filter((name) => !["constructor", "close"].includes(name));
			for (const name of own) {
				assert.ok(
					methods.some(([o, m]) => o === owner && m === name),
					`${owner}.${name} has no row`,
				);
			}
		}
	});
});
