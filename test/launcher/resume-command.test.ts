import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type ResumedTrial, resumeCommand } from "../../src/launcher/resume-command.js";

describe("resumeCommand", () => {
	const trial = { trialId: 5, workerCount: 2, directory: "/job", dataDirectory: "/job/.millrace" };
	const line = (rest: Partial<ResumedTrial> & Pick<ResumedTrial, "entrypoint">) =>
		resumeCommand({ ...trial, ...rest }, "/job");

	const launches: [string | string[], string][] = [
		["npx tsx worker.ts", "npx millrace launch --nproc-per-node 2 -- npx tsx worker.ts"],
		[
			"npx millrace launch -- npx tsx worker.ts 'a b'",
			"npx millrace launch --nproc-per-node 2 -- npx tsx worker.ts 'a b'",
		],
		["millrace launch --nproc-per-node 2 -- node w.js", "npx millrace launch --nproc-per-node 2 -- node w.js"],
		[["npx", "millrace", "launch", "--", "node", "w 1.js"], "npx millrace launch --nproc-per-node 2 -- node 'w 1.js'"],
		[["node", "w.js", "--", "x"], "npx millrace launch --nproc-per-node 2 -- node w.js -- x"],
		["node w.js > $OUT", "npx millrace launch --nproc-per-node 2 -- sh -c 'node w.js > $OUT'"],
		["A=1 node w.js", "npx millrace launch --nproc-per-node 2 -- sh -c 'A=1 node w.js'"],
		["./prepare && npx millrace launch -- x", "MILLRACE_SLOTS=2 sh -c './prepare && npx millrace launch -- x'"],
	];
	for (const [entrypoint, command] of launches) {
		it(`launches the workers of ${JSON.stringify(entrypoint)}`, () => {
			const [activate, workers] = [line({ entrypoint }).split(" && ", 1)[0], line({ entrypoint })];
			assert.equal(activate, "npx millrace trial activate 5");
			const prefix = "npx millrace trial activate 5 && MILLRACE_TRIAL_ID=5 ";
			assert.equal(workers, prefix + command);
		});
	}

	it("names the data directory if it is not the default, and the server instead if it was named", () => {
		const entrypoint = ["w"];
		assert.match(
			line({ entrypoint, dataDirectory: "/my data" }),
			/^MILLRACE_DATA='\/my data' npx .* && MILLRACE_DATA='/,
		);
		assert.match(line({ entrypoint, server: "a:1" }), /^MILLRACE_SERVER=a:1 npx .* && MILLRACE_SERVER=a:1 MILLRACE_T/);
	});

	it("goes to the entrypoint's directory first", () => {
		const command = resumeCommand({ ...trial, entrypoint: "w" }, "/elsewhere");
		assert.match(command, /^cd \/job && npx millrace trial activate 5 && /);
	});
});
