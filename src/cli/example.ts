import type { Command } from "commander";

/** The UUID of the checkpoint in examples. */
export const exampleUuid = "6b8f1f0e-0000-4000-8000-000000000000";

/** Ends the help of a command with examples, which are lines for a shell without their `millrace`. */
export function addExample(command: Command, ...lines: readonly string[]): Command {
	const heading = lines.length === 1 ? "Example" : "Examples";
	return command.addHelpText("after", ["", `${heading}:`, ...lines.map((line) => `  millrace ${line}`)].join("\n"));
}
