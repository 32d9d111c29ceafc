import { Command, CommanderError } from "commander";
import { isMillraceError } from "../errors.js";
import { exitCodes } from "../exit-codes.js";
import { version } from "../version.js";
import { addCheckpointCommand } from "./checkpoint.js";
import { addExample } from "./example.js";
import { addExperimentCommand } from "./experiment.js";
import { withoutHelpOfUnknown } from "./help-of-unknown.js";
import { addLaunchCommand } from "./launch.js";
import { addModelCommand } from "./model.js";
import { addRunCommand } from "./run.js";
import { addServerCommand } from "./server.js";
import type { Terminal } from "./terminal.js";
import { addTrialCommand } from "./trial.js";
import { addUserCommand } from "./user.js";

/** Errors that the user of the command can mend. */
const usageErrors = new Set([
	"invalid_argument",
	"not_found",
	"failed_precondition",
	"already_exists",
	"unauthenticated",
]);

/** Commands that a broken pipe must not end at once: they have a trial, workers or others' connections to look after. */
const ownersOfWork = new Set(["run", "launch", "server"]);

/** Makes `millrace` with all its commands, which write to the terminal. */
export function createProgram(terminal: Terminal): Command {
	const program = new Command("millrace")
		.description("Run a model over a whole data set, on many workers, and remember its metrics.")
		.version(version)
		.enablePositionalOptions()
		.showSuggestionAfterError()
		.exitOverride()
		.configureOutput({
			writeOut: (text) => void terminal.print(text),
			writeErr: (text) => terminal.write(text),
			getOutHelpWidth: () => terminal.columns,
			getErrHelpWidth: () => terminal.columns,
			getOutHasColors: () => terminal.hasColours,
			getErrHasColors: () => false,
		})
		.hook("preAction", (_program, command) => {
			terminal.outlivesReader = ownersOfWork.has(command.name());
		});
	addExample(program, "run experiment.yaml");
	addRunCommand(program, terminal);
	addLaunchCommand(program, terminal);
	addServerCommand(program, terminal);
	addExperimentCommand(program, terminal);
	addTrialCommand(program, terminal);
	addCheckpointCommand(program, terminal);
	addModelCommand(program, terminal);
	addUserCommand(program, terminal);
	nameHelp(program, "millrace");
	return program;
}

/** Runs `millrace` with these arguments, and returns the exit code. What goes wrong is said on stderr. */
export async function runCommandLine(args: readonly string[], terminal: Terminal): Promise<number> {
	try {
		const program = createProgram(terminal);
		await program.parseAsync(withoutHelpOfUnknown(program, args), { from: "user" });
		return terminal.exitCode;
	} catch (error) {
		return report(error, terminal);
	}
}

/** Lets an error of usage name the help that answers it. */
function nameHelp(command: Command, path: string): void {
	command.showHelpAfterError(`(see ${path} --help)`);
	for (const child of command.commands) {
		nameHelp(child, `${path} ${child.name()}`);
	}
}

/** Prints an error as its reader needs it, and returns the exit code. */
function report(error: unknown, terminal: Terminal): number {
	if (error instanceof CommanderError) {
		return error.exitCode === 0 ? exitCodes.done : exitCodes.usage;
	}
	if (isMillraceError(error)) {
		terminal.say(error.message);
		return usageErrors.has(error.code) ? exitCodes.usage : exitCodes.failed;
	}
	terminal.say(`unexpected error: ${error instanceof Error ? error.stack : error}`);
	return exitCodes.failed;
}
