import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { runInProcess } from "../support/run-command-line.js";
import { seedTrial } from "../support/seed-trial.js";
import { tempDir } from "../support/temp-dir.js";
import { useTestClient } from "../support/use-test-client.js";

describe("millrace model", { timeout: 120_000 }, () => {
	const test = useTestClient();
	const run = (...args: string[]) => runInProcess(["model", ...args, "--server", test.address]);
	const json = async (...args: string[]) => JSON.parse((await run(...args, "--json")).stdout);

	async function upload(): Promise<string> {
		const file = join(tempDir(), "model.onnx");
		writeFileSync(file, `weights ${Math.random()}`);
		return (await test.client.uploadCheckpoint(file)).uuid;
	}

	it("creates models, registers versions, and prints the number of a version alone", async () => {
		const words = ["--label", "vision", "--label", "mnist", "--description", "of MNIST", "--metadata", '{"a": 1}'];
		assert.match((await run("create", "digits", ...words)).stdout, /^model digits: id \d+\n$/);
		const again = await run("create", "digits");
		assert.deepEqual([again.code, again.stdout], [2, ""]);
		assert.equal((await run("create", "digits", "--exist-ok")).code, 0);
		const model = await json("describe", "digits");
		assert.deepEqual(model, JSON.parse(JSON.stringify(await test.client.getModel("digits"))));
		assert.deepEqual([model.labels, model.description, model.metadata], [["vision", "mnist"], "of MNIST", { a: 1 }]);

		const uuid = await upload();
		assert.deepEqual(await run("register-version", "digits", uuid), { code: 0, stdout: "1\n", stderr: "" });
		const said = ["--name", "the best", "--comment", "c", "--notes", "# N", "--label", "x", "--metadata", '{"b": 2}'];
		const version = await json("register-version", String(model.modelId), uuid, ...said);
		assert.deepEqual(
			[version.modelVersion, version.name, version.comment, version.notes, version.labels, version.metadata],
			[2, "the best", "c", "# N", ["x"], { b: 2 }],
		);
		assert.equal(version.checkpoint.uuid, uuid);
		assert.deepEqual(await json("describe", "digits", "2"), version);
		const { stdout } = await run("list-versions", "digits", "--json", "--order-by", "asc");
		assert.deepEqual(stdout.match(/"modelVersion":\d/g), ['"modelVersion":1', '"modelVersion":2']);
		assert.equal((await run("describe", "digits", "3")).code, 2);
		assert.match((await run("describe", "digits", "latest")).stderr, /Give the number of a version, from 1/);
	});

	it("lists models by filters", async () => {
		for (const name of ["filtered b", "filtered a", "other"]) {
			await test.client.createModel(name, { labels: ["of the filter", name] });
		}
		const list = async (...flags: string[]) => {
			const { stdout } = await run("list", "--json", "--label", "of the filter", ...flags);
			return [...stdout.matchAll(/^\{"name":"([^"]*)"/gm)].map(([, name]) => name);
		};
		assert.deepEqual(await list(), ["filtered a", "filtered b", "other"]);
		assert.deepEqual(await list("--name", "FILTERED", "--order-by", "DESC"), ["filtered b", "filtered a"]);
		assert.deepEqual(await list("--sort-by", "CREATION_TIME", "--limit", "1"), ["filtered b"]);
		assert.equal((await run("archive", "other")).stdout, "model other: archived\n");
		assert.deepEqual(await list("--archived"), ["other"]);
		assert.equal((await run("unarchive", "other")).stdout, "model other: not archived\n");
		assert.deepEqual(await list("--no-archived"), ["filtered a", "filtered b", "other"]);
		assert.equal((await run("list", "--name", "none of them")).stderr, "millrace: no models\n");
	});

	it("sets what is said of a model and of a version", async () => {
		const model = await test.client.createModel("said");
		const version = await model.registerVersion(await upload());
		const steps: readonly (readonly [args: readonly string[], says: string])[] = [
			[["description", "said", "of letters"], "model said: description set"],
			[["notes", "said", "# Notes"], "model said: notes set"],
			[["labels", "said", "a", "b, c"], "model said: labels set"],
			[["metadata", "said", '{"owner": "x"}'], "model said: metadata set"],
			[["name", "said", "the first", "--version", "1"], "version 1 of model said: name set"],
			[["notes", "said", "better", "--version", "1"], "version 1 of model said: notes set"],
			[["labels", "said", "--version", "1"], "version 1 of model said: labels set"],
			[["metadata", "said", '{"k": [1]}', "--version", "1"], "version 1 of model said: metadata set"],
			[["name", "said", "renamed"], "model renamed: name set"],
		];
		for (const [args, says] of steps) {
			assert.deepEqual(await run("set", ...args), { code: 0, stdout: `${says}\n`, stderr: "" });
		}
		await model.reload();
		await version.reload();
		const { name, description, notes, labels, metadata } = model;
		assert.deepEqual(
			[name, description, notes, labels, metadata],
			["renamed", "of letters", "# Notes", ["a", "b, c"], { owner: "x" }],
		);
		assert.deepEqual([version.name, version.notes, version.metadata], ["the first", "better", { k: [1] }]);
		assert.equal((await run("set", "description", "renamed", "x", "--version", "1")).code, 2);
	});

	it("shows what was reported by the trials that used a version", async () => {
		const model = await test.client.createModel("used");
		const version = await model.registerVersion(await upload());
		const { trial, report } = await seedTrial(test.connection);
		await trial.reportTaskUsingModelVersion(version);
		await report("inference", [{ loss: 2 }]);
		const { stdout } = await run("metrics", "used", "1", "--name", "loss");
		assert.equal(stdout.replace(/ +/g, " "), `TRIAL RUN RANK STEPS GROUP loss\n ${trial.id} 1 1 inference 2\n`);
		assert.equal((await run("metrics", "used", "2")).code, 2);
		assert.equal((await run("metrics", "used")).code, 2);
	});

	it("deletes a version, and a model with all of them, when it is meant", async () => {
		const model = await test.client.createModel("deleted");
		const uuid = await upload();
		await model.registerVersion(uuid);
		await model.registerVersion(uuid);
		assert.match(
			(await run("delete", "deleted", "1")).stderr,
			/whether to delete version 1 of model deleted; give --yes/,
		);
		assert.equal((await run("delete", "deleted", "1", "--yes")).stdout, "version 1 of model deleted: deleted\n");
		assert.match((await run("delete", "deleted")).stderr, /whether to delete model deleted with its version; give/);
		assert.equal((await run("delete", "deleted", "--yes")).stdout, "model deleted: deleted\n");
		assert.equal((await run("describe", "deleted")).code, 2);
		assert.equal((await test.client.getCheckpoint(uuid)).state, "COMPLETED");
	});
});
