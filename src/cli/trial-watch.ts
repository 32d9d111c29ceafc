import type { Command } from "commander";
import { exitCodes, signalExitCode } from "../exit-codes.js";
import type { Client, TrialActivity } from "../sdk/index.js";
import type { ActivityDisplay } from "./activity-display.js";
import { trialId } from "./id-argument.js";
import { addJsonFlag, type JsonFlag, toJson } from "./json-flag.js";
import { intervalSeconds } from "./seconds.js";
import type { Terminal } from "./terminal.js";
import { addVerb, onServer } from "./verb.js";
import { WatchLines } from "./watch-lines.js";
import { WatchScreen } from "./watch-screen.js";

interface WatchFlags extends JsonFlag {
	interval?: number;
}

/** Adds `millrace trial watch`: it shows a trial live until it ends. */
export function addTrialWatchCommand(trial: Command, terminal: Terminal): void {
	const description = "show a trial live until it ends: how far and how fast it is, and who waits for whom";
	const command = addVerb(trial, "watch", description, "5", "5 --json --interval 10")
		.argument("<id>", "the trial", trialId)
		.option(
			"--interval <seconds>",
			"the time between two looks (default: 1; where stdout is no terminal, 5 between two lines)",
			intervalSeconds,
		);
	onServer<[number], WatchFlags>(addJsonFlag(command, "a line each"), (client, [id], flags) =>
		watch(client, id, terminal, flags),
	);
}

async function watch(client: Client, id: number, terminal: Terminal, flags: WatchFlags): Promise<void> {
	const display = displayOf(terminal, flags);
	// Lines are further apart than looks, so that an end is told at once.
	const interval = display instanceof WatchLines ? Math.min(flags.interval ?? 1, 1) : flags.interval;
	try {
		for await (const activity of client.getTrial(id).watch({ interval })) {
			const exitCode = exitCodeOf(activity);
			await display.show(activity, exitCode !== undefined);
			terminal.exitCode = exitCode ?? exitCodes.done;
		}
	} finally {
		display.close();
	}
}

function displayOf(terminal: Terminal, { json, interval }: WatchFlags): ActivityDisplay {
	if (json) {
		return { show: (activity) => terminal.print(`${toJson(activity)}\n`), close: () => {} };
	}
	return terminal.canRedraw ? new WatchScreen(terminal, interval) : new WatchLines(terminal, interval);
}

/** Returns the exit code that says how a trial ended; undefined if it has not. */
function exitCodeOf({ state, run }: TrialActivity): number | undefined {
	switch (state) {
		case "COMPLETED":
			return exitCodes.done;
		case "ERROR":
			return exitCodes.failed;
		case "CANCELED":
			return signalExitCode(run?.state === "KILLED" ? "SIGKILL" : "SIGTERM");
		default:
			return undefined;
	}
}
