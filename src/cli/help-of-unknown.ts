import type { Command } from "commander";

/**
 * Returns the arguments without a `help` that stands before a name which no command has, as in `millrace help trail`: the
 * parser would answer that with the help of all commands, where it says of `millrace trail` what was probably meant.
 */
export function withoutHelpOfUnknown(command: Command, args: readonly string[]): string[] {
	const [first, ...rest] = args;
	const [asked] = rest;
	if (first === undefined || command.commands.length === 0) {
		return [...args];
	}
	if (first === "help" && asked !== undefined && !asked.startsWith("-") && childOf(command, asked) === undefined) {
		return rest;
	}
	const child = childOf(command, first);
	return child === undefined ? [...args] : [first, ...withoutHelpOfUnknown(child, rest)];
}

function childOf({ commands }: Command, name: string): Command | undefined {
	return commands.find((child) => child.name() === name || child.aliases().includes(name));
}
