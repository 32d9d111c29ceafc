import { type Command, InvalidArgumentError, Option } from "commander";
import type { LogLevelName, TrialLogOptions } from "../sdk/index.js";
import { logLevelNames } from "../sdk/log-level.js";
import { addExample } from "./example.js";
import { trialId } from "./id-argument.js";
import { addServerFlags, type ServerFlags, withClient } from "./server-flags.js";
import type { Terminal } from "./terminal.js";

interface LogFlags extends ServerFlags {
	follow?: boolean;
	head?: number;
	tail?: number;
	rank?: number[];
	level?: LogLevelName;
	search?: string;
	regex?: boolean;
}

/** Adds `millrace trial logs`: it prints what the workers of a trial printed. */
export function addTrialLogsCommand(trial: Command, terminal: Terminal): void {
	const command = trial
		.command("logs")
		.description("print what the workers of a trial printed, with time, rank and level")
		.argument("<id>", "the trial", trialId)
		.option("-f, --follow", "go on with what is printed later, until the trial has ended")
		.addOption(new Option("--head <number>", "only the first lines, so many").argParser(count).conflicts("tail"))
		.option("--tail <number>", "only the last lines, so many; with --follow, and all that come later", count)
		.option("--rank <rank>", "only lines of the worker with this rank; may be given several times", rank)
		.addOption(
			new Option("--level <level>", "only lines of this level or a graver one").choices(logLevelNames).argParser(level),
		)
		.option("--search <text>", "only lines that contain this text, in any case")
		.option("--regex", "take the text of --search for a regular expression of JavaScript");
	addServerFlags(command).action((id: number, flags: LogFlags) => printLogs(id, flags, terminal));
	addExample(command, "trial logs 5 --follow --tail 100", 'trial logs 5 --rank 1 --search "out of memory"');
}

function printLogs(id: number, flags: LogFlags, terminal: Terminal): Promise<void> {
	const options: TrialLogOptions = {
		follow: flags.follow,
		head: flags.head,
		tail: flags.tail,
		rankIds: flags.rank,
		minLevel: flags.level,
		searchText: flags.search,
		enableRegex: flags.regex,
	};
	return withClient(flags, async (client) => {
		for await (const { message } of client.getTrial(id).iterLogs(options)) {
			await terminal.print(`${message}\n`);
		}
	});
}

function count(text: string): number {
	if (!/^[1-9]\d{0,8}$/.test(text)) {
		throw new InvalidArgumentError("Give a number of lines, from 1.");
	}
	return Number(text);
}

function rank(text: string, earlier: number[] = []): number[] {
	if (!/^\d{1,9}$/.test(text)) {
		throw new InvalidArgumentError("Give the rank of a worker, from 0.");
	}
	return [...earlier, Number(text)];
}

function level(text: string): LogLevelName {
	const name = logLevelNames.find((candidate) => candidate === text.toUpperCase());
	if (name === undefined) {
		throw new InvalidArgumentError(`Give one of ${logLevelNames.join(", ")}.`);
	}
	return name;
}
