import { signalExitCode } from "../exit-codes.js";
import { runCommandLine } from "./command-line.js";
import { Terminal } from "./terminal.js";

const terminal = new Terminal(process);

// A reader such as `head` that has seen enough is no error; 141 is what SIGPIPE would give. Other errors, such
// as a full disk below a log, are no reason to end work that goes well.
for (const stream of [process.stdout, process.stderr]) {
	stream.on("error", (error: NodeJS.ErrnoException) => {
		if (error.code === "EPIPE" && !terminal.outlivesReader) {
			process.exit(signalExitCode("SIGPIPE"));
		}
	});
}

process.exitCode = await runCommandLine(process.argv.slice(2), terminal);
// What is still open, such as a connection to the server, must not keep a finished command alive.
process.exit();
