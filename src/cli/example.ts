import type { Command } from "commander";

/** Ends the help of a command with examples, which are lines for a shell without their `millrace`. */
export function addExample(command: Command, ...lines: readonly string[]): Command {
	const heading = lines.length === 1 ? "Example" : "Examples";
	return command.addHelpText("after", ["", `${heading}:`, ...lines.map((line) => `  millrace ${line}`)].join("\n"));
}
