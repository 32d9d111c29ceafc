// The command `npm run chaos`: plays rounds in which workers, launchers, servers and the network fail.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { exitCodes, signalExitCode } from "../../src/exit-codes.js";
import { noticeLosses } from "./notice-losses.js";
import { planRound } from "./plan-round.js";
import { playRound } from "./round.js";
import type { RoundPlan } from "./round-plan.js";
import { planSteps } from "./step-plans.js";
import { noticeLines, seconds, Tally } from "./tally.js";

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
		/** Instead of random rounds, one for each named step and each way to die there. */
		steps: { type: "boolean", default: false },
		/** Instead of rounds, how often to kill a worker and take the time until the others notice. */
		notice: { type: "string" },
		/** Keeps what all rounds leave behind, not only those that failed. */
		keep: { type: "boolean", default: false },
	},
});

// What was started is killed where this process exits, which a signal alone would skip.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
	process.once(signal, () => process.exit(signalExitCode(signal)));
}

const { seed } = flags;
if (flags.notice !== undefined) {
	await playLosses(count("--notice", flags.notice));
} else if (flags.steps) {
	await playRounds("chaos: every step", planSteps());
} else {
	const first = count("--first", flags.first);
	const numbers = Array.from({ length: count("--rounds", flags.rounds) }, (_, index) => first + index);
	await playRounds(
		`chaos: seed ${seed}, ${numbers.length} rounds`,
		numbers.map((round) => planRound(seed, round)),
	);
}

/** A round that is not played must not look like one that passed. */
function count(flag: string, text: string): number {
	if (!/^[1-9]\d{0,5}$/.test(text)) {
		console.error(`chaos: ${flag} is "${text}"; give a whole number from 1`);
		process.exit(exitCodes.usage);
	}
	return Number(text);
}

async function playRounds(title: string, plans: readonly RoundPlan[]): Promise<void> {
	const tally = new Tally();
	console.log(title);
	for (const plan of plans) {
		const directory = mkdtempSync(join(tmpdir(), "millrace-chaos-"));
		const result = await playRound(plan, directory, limitMs);
		tally.add(plan, result);
		const faults = result.happened.map(({ kind, step }) => `${kind} at ${step}`).join(", ") || "no fault";
		const verdict = result.problems.length === 0 ? "ok" : "FAILED";
		console.log(`${verdict} ${plan.name}: ${plan.server}, ${result.legs} starts, ${faults}; ${seconds(result.ms)}`);
		for (const problem of result.problems) {
			console.log(`   ${problem}`);
		}
		if (result.problems.length > 0) {
			console.log(`   logs: ${directory}; plays again with ${plan.again}`);
		} else if (!flags.keep) {
			rmSync(directory, { recursive: true, maxRetries: 5 });
		}
	}
	console.log(tally.report());
	process.exitCode = tally.hasFailures ? 1 : 0;
}

async function playLosses(kills: number): Promise<void> {
	console.log(`chaos: seed ${seed}, ${kills} kills and a fifth as many freezes`);
	const { notices, problems } = await noticeLosses(seed, kills);
	console.log([...noticeLines(notices), ...problems].join("\n"));
	process.exitCode = problems.length > 0 ? 1 : 0;
}
