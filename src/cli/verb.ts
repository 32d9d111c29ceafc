import type { Command } from "commander";
import type { Client } from "../sdk/index.js";
import { addExample } from "./example.js";
import { addServerFlags, type ServerFlags, type ServerUse, withClient } from "./server-flags.js";

/** Adds a verb to a noun such as `millrace trial`. The examples are its arguments. */
export function addVerb(noun: Command, name: string, description: string, ...examples: readonly string[]): Command {
	const path = [name];
	for (let parent: Command | null = noun; parent?.parent; parent = parent.parent) {
		path.unshift(parent.name());
	}
	const lines = examples.map((example) => `${path.join(" ")} ${example}`.trimEnd());
	return addExample(noun.command(name).description(description), ...lines);
}

/** Adds the flags that name a server to a command with arguments A and flags F, and what it does with a client of it. */
export function onServer<A extends readonly unknown[], F extends object = object>(
	command: Command,
	action: (client: Client, args: A, flags: F & ServerFlags) => Promise<void>,
	use?: ServerUse,
): Command {
	return addServerFlags(command).action((...given: unknown[]) => {
		// The last two are the flags and the command itself.
		const flags = given.at(-2) as F & ServerFlags;
		return withClient(flags, (client) => action(client, given.slice(0, -2) as unknown as A, flags), use);
	});
}
