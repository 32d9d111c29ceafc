import type { Command } from "commander";
import { MillraceError } from "../errors.js";
import { exitCodes } from "../exit-codes.js";
import type { Terminal } from "./terminal.js";

/** Whether a deletion was agreed to beforehand. */
export interface YesFlag {
	yes?: boolean;
}

/** Adds the flag by which nobody is asked before something is deleted. */
export function addYesFlag(command: Command): Command {
	return command.option("-y, --yes", "do not ask whether it is meant");
}

/**
 * Asks whether something is to be deleted for good, as in "delete model digits", unless `--yes` is given. Where the
 * answer is no, says that nothing was done, and lets the command end with 1.
 *
 * Throws `failed_precondition` where nobody can be asked.
 */
export async function confirmDeletion(terminal: Terminal, flags: YesFlag, what: string): Promise<boolean> {
	if (flags.yes) {
		return true;
	}
	const answer = await terminal.confirm(`${what}, for good?`);
	if (answer === undefined) {
		throw new MillraceError(
			"failed_precondition",
			`nobody can be asked here whether to ${what}; give --yes if it is meant`,
		);
	}
	if (!answer) {
		terminal.say("nothing was deleted");
		terminal.exitCode = exitCodes.failed;
	}
	return answer;
}
