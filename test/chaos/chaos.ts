// The command `npm run chaos`: plays rounds in which workers, launchers, servers and the network fail.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { planRound } from "./plan-round.js";
import { playRound } from "./round.js";
import { seconds, Tally } from "./tally.js";

/** Many times what a round takes. */
const limitMs = 120_000;

const { values: flags } = parseArgs({
	options: {
		/** Any text; the same one plays the same rounds again. */
		seed: { type: "string", default: String(Date.now()) },
		/** How many rounds. */
		rounds: { type: "string", default: "10" },
		/** The number of the first round, to play one again. */
		first: { type: "string", default: "1" },
		/** Keeps what all rounds leave behind, not only those that failed. */
		keep: { type: "boolean", default: false },
	},
});

await playRounds(flags.seed, Number(flags.first), Number(flags.rounds));

async function playRounds(seed: string, first: number, count: number): Promise<void> {
	const tally = new Tally();
	console.log(`chaos: seed ${seed}, ${count} rounds`);
	for (let round = first; round < first + count; round++) {
		const plan = planRound(seed, round);
		const directory = mkdtempSync(join(tmpdir(), "millrace-chaos-"));
		const result = await playRound(plan, directory, limitMs);
		tally.add(plan, result);
		const faults = result.happened.map(({ kind, step }) => `${kind} at ${step}`).join(", ") || "no fault";
		const verdict = result.problems.length === 0 ? "ok" : "FAILED";
		console.log(`${verdict} ${round}: ${plan.server}, ${result.legs} starts, ${faults}; ${seconds(result.ms)}`);
		for (const problem of result.problems) {
			console.log(`   ${problem}`);
		}
		if (result.problems.length > 0) {
			console.log(`   again: npm run chaos -- --seed ${seed} --first ${round} --rounds 1; logs: ${directory}`);
		} else if (!flags.keep) {
			rmSync(directory, { recursive: true, maxRetries: 5 });
		}
	}
	console.log(tally.report());
	process.exitCode = tally.hasFailures ? 1 : 0;
}
