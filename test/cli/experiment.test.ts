import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, it } from "node:test";
import { TrialRunState } from "../../src/gen/millrace/v1/trial_pb.js";
import type { Surroundings } from "../support/kept-terminal.js";
import { runInProcess } from "../support/run-command-line.js";
import { seedTrial } from "../support/seed-trial.js";
import { runMillrace } from "../support/start-command.js";
import { tempDir } from "../support/temp-dir.js";
import { useTestClient } from "../support/use-test-client.js";

describe("millrace experiment", { timeout: 120_000 }, () => {
	const test = useTestClient();
	const run = (line: readonly string[], surroundings: Surroundings = {}) =>
		runInProcess(["experiment", ...line, "--server", test.address], surroundings);

	it("says that there is none, and rounds progress down", async () => {
		const none = await run(["list"]);
		assert.deepEqual(none, { code: 0, stdout: "", stderr: "millrace: no experiments\n" });
		const { trial } = await seedTrial(test.connection);
		await test.connection.trials.reportTrialProgress({ trialId: trial.id, trialRunId: 1, progress: 0.999 });
		assert.match((await run(["list"])).stdout, / ACTIVE {3}99% {7}1 .* seeded\n$/);
	});

	it("pauses, activates, cancels, kills, archives and deletes experiments", async () => {
		const { trial } = await seedTrial(test.connection);
		const id = trial.experimentId;
		const steps: readonly (readonly [command: string, says: string])[] = [
			["pause", "ACTIVE, to be PAUSED at the next commit"],
			["activate", "ACTIVE"],
			["cancel", "ACTIVE, to be CANCELED at the next commit"],
			["kill", "CANCELED"],
			["archive", "archived"],
			["unarchive", "not archived"],
			["delete --yes", "deleted"],
		];
		for (const [command, says] of steps) {
			const end = await run([...command.split(" "), String(id)]);
			assert.deepEqual(end, { code: 0, stdout: `experiment ${id}: ${says}\n`, stderr: "" });
		}
		const gone = await run(["kill", String(id)]);
		assert.deepEqual(gone, { code: 2, stdout: "", stderr: `millrace: experiment ${id} not found\n` });
	});

	it("asks before it deletes, and refuses where nobody can be asked", async () => {
		const { id } = await test.client.createExperiment({ name: "asked", entrypoint: "true" });
		const remove = (surroundings?: Surroundings) => run(["delete", String(id)], surroundings);
		const what = `delete experiment ${id} (asked) with its 0 trials and all that they wrote`;
		const unasked = `millrace: nobody can be asked here whether to ${what}; give --yes if it is meant\n`;
		assert.deepEqual(await remove(), { code: 2, stdout: "", stderr: unasked });
		for (const answer of ["n", "", "yikes"]) {
			const end = await remove({ answers: [answer] });
			assert.deepEqual([end.code, end.stdout], [1, ""]);
			assert.ok(end.stderr.startsWith(`millrace: ${what}, for good? [y/N] `), end.stderr);
			assert.match(end.stderr, /millrace: nothing was deleted\n$/);
		}
		assert.equal((await remove({ answers: ["y"] })).stdout, `experiment ${id}: deleted\n`);
	});

	it("sets what is said of an experiment", async () => {
		const experiment = await test.client.createExperiment({ name: "old", entrypoint: "true", labels: ["a"] });
		const id = String(experiment.id);
		const steps: readonly (readonly [line: readonly string[], says: string])[] = [
			[["set", "name", id, "new, and longer"], "name set"],
			[["set", "description", id, "of digits"], "description set"],
			[["set", "notes", id, "# Notes"], "notes set"],
			[["label", "add", id, "b", "c, with a comma"], "labels: a, b, c, with a comma"],
			[["label", "remove", id, "a"], "labels: b, c, with a comma"],
			[["label", "remove", id, "b", "c, with a comma"], "labels: none"],
			[["label", "add", id, "z"], "labels: z"],
		];
		for (const [line, says] of steps) {
			assert.deepEqual(await run(line), { code: 0, stdout: `experiment ${id}: ${says}\n`, stderr: "" });
		}
		await experiment.reload();
		const { name, description, notes, labels } = experiment;
		assert.deepEqual([name, description, notes, labels], ["new, and longer", "of digits", "# Notes", ["z"]]);
		assert.match((await run(["set", "name", id, " "])).stderr, /^millrace: name is/);
	});

	it("waits for the end, and tells by its code how that was", async () => {
		for (const [end, code] of [
			[TrialRunState.COMPLETED, 0],
			[TrialRunState.KILLED, 1],
		] as const) {
			const { trial } = await seedTrial(test.connection);
			const id = trial.experimentId;
			const waiting = run(["wait", String(id), "--interval", "0.1"]);
			await test.connection.trials.endTrialRun({ trialId: trial.id, trialRunId: 1, state: end });
			const state = code === 0 ? "COMPLETED" : "CANCELED";
			assert.deepEqual(await waiting, { code, stdout: `experiment ${id}: ${state}\n`, stderr: "" });
		}
		assert.match((await run(["wait", "1", "--interval", "0"])).stderr, /Give a number of seconds, from 0.1/);
	});

	it("lists by filters, and prints the properties of the SDK as JSON", async () => {
		const labels = ["of the filter"];
		const made = [];
		for (const name of ["filter one", "filter two", "other"]) {
			made.push(await test.client.createExperiment({ name, entrypoint: "true", labels }));
		}
		const list = async (...flags: string[]) => {
			const { stdout } = await run(["list", "--json", "--label", "of the filter", ...flags]);
			return stdout.split("\n").flatMap((line) => (line === "" ? [] : [JSON.parse(line)]));
		};
		const json = (objects: readonly object[]) => JSON.parse(JSON.stringify(objects));
		assert.deepEqual(await list(), json([...made].reverse()));
		assert.deepEqual(await list("--name", "FILTER", "--sort-by", "name"), json(made.slice(0, 2)));
		assert.deepEqual(
			await list("--limit", "2", "--sort-by", "ID", "--order-by", "desc"),
			json([...made].reverse().slice(0, 2)),
		);
		assert.deepEqual(await list("--state", "error", "--state", "paused"), []);
		await made[0]?.archive();
		assert.deepEqual((await list("--archived")).length, 1);
		assert.deepEqual((await list("--no-archived")).length, 2);
		const described = JSON.parse((await run(["describe", String(made[1]?.id), "--json"])).stdout);
		assert.deepEqual(described, json(made)[1]);
		for (const wrong of [
			["--sort-by", "colour"],
			["--state", "lost"],
			["--limit", "0"],
			["--order-by", "up"],
		]) {
			const end = await run(["list", ...wrong]);
			assert.deepEqual([end.code, end.stdout], [2, ""], end.stderr);
		}
	});

	it("exits 2 for what is no id, and makes no data directory", async () => {
		const wrong = await runInProcess(["experiment", "pause", "mine", "--data", tempDir()]);
		assert.equal(wrong.code, 2);
		assert.match(wrong.stderr, /Give the number of an experiment/);
		const absent = await runMillrace(["experiment", "list", "--data", join(tempDir(), "none")]);
		assert.equal(absent.code, 2);
		assert.match(absent.stderr, /there is no data directory/);
	});
});
