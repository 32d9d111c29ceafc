import { Command, CommanderError } from "commander";
import { isMillraceError } from "../errors.js";
import { exitCodes, signalExitCode } from "../exit-codes.js";
import { version } from "../version.js";
import { addExperimentCommand } from "./experiment.js";
import { addLaunchCommand } from "./launch.js";
import { addRunCommand } from "./run.js";
import { addServerCommand } from "./server.js";
import { addTrialCommand } from "./trial.js";
import { addTrialCreateCommand } from "./trial-create.js";
import { addTrialLogsCommand } from "./trial-logs.js";

/** Errors that the user of the command can mend. */
const usageErrors = new Set(["invalid_argument", "not_found", "failed_precondition", "already_exists"]);

/** Commands that a broken pipe must not end at once: they have a trial, workers or others' connections to look after. */
const ownersOfWork = new Set(["run", "launch", "server"]);
let endsAtBrokenPipe = true;

// A reader such as `head` that has seen enough is no error; 141 is what SIGPIPE would give. Other errors, such
// as a full disk below a log, are no reason to end work that goes well.
for (const stream of [process.stdout, process.stderr]) {
	stream.on("error", (error: NodeJS.ErrnoException) => {
		if (error.code === "EPIPE" && endsAtBrokenPipe) {
			process.exit(signalExitCode("SIGPIPE"));
		}
	});
}

const program = new Command("millrace")
	.description("Run a model over a whole data set, on many workers, and remember its metrics.")
	.version(version)
	.enablePositionalOptions()
	.showSuggestionAfterError()
	.showHelpAfterError("(see millrace --help)")
	.exitOverride()
	.hook("preAction", (_program, command) => {
		endsAtBrokenPipe = !ownersOfWork.has(command.name());
	});
addRunCommand(program);
addLaunchCommand(program);
addServerCommand(program);
addExperimentCommand(program);
const trial = addTrialCommand(program);
addTrialCreateCommand(trial);
addTrialLogsCommand(trial);

try {
	await program.parseAsync();
} catch (error) {
	process.exitCode = report(error);
}
// What is still open, such as a connection to the server, must not keep a finished command alive.
process.exit();

/** Prints an error as its reader needs it, and returns the exit code. */
function report(error: unknown): number {
	if (error instanceof CommanderError) {
		return error.exitCode === 0 ? exitCodes.done : exitCodes.usage;
	}
	if (isMillraceError(error)) {
		process.stderr.write(`millrace: ${error.message}\n`);
		return usageErrors.has(error.code) ? exitCodes.usage : exitCodes.failed;
	}
	process.stderr.write(`millrace: unexpected error: ${error instanceof Error ? error.stack : error}\n`);
	return exitCodes.failed;
}
