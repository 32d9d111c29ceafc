import { type Command, InvalidArgumentError } from "commander";
import type { OrderBy } from "../sdk/index.js";
import { choiceOption } from "./choice-option.js";
import { addJsonFlag, type JsonFlag } from "./json-flag.js";

/** How much of a list is shown, and how. */
export interface LimitFlags extends JsonFlag {
	limit?: number;
}

/** How a list is sorted, how much of it is shown, and how. */
export interface ListFlags<K extends string = never> extends LimitFlags {
	sortBy?: K;
	orderBy?: OrderBy;
}

/** Adds the flags of a list that can be sorted by some keys. */
export function addListFlags(command: Command, sortKeys: readonly string[] = []): Command {
	if (sortKeys.length > 0) {
		command.addOption(choiceOption("--sort-by <key>", "what to sort by", sortKeys));
	}
	command.addOption(choiceOption("--order-by <direction>", "in which direction", ["ASC", "DESC"]));
	return addLimitFlags(command);
}

/** Adds the flags of a list whose order is given. */
export function addLimitFlags(command: Command): Command {
	return addJsonFlag(command.option("--limit <number>", "only the first, so many", limit), "a line each");
}

/** Returns the options of the SDK by which a list is sorted. */
export function sortingOf<K extends string>({ sortBy, orderBy }: ListFlags<K>): { sortBy?: K; orderBy?: OrderBy } {
	return { ...(sortBy !== undefined && { sortBy }), ...(orderBy !== undefined && { orderBy }) };
}

/** Returns the rows up to the limit of the flags, and asks for no more. */
export async function* limited<T>(rows: AsyncIterable<T>, { limit }: { readonly limit?: number }): AsyncGenerator<T> {
	let left = limit ?? Number.POSITIVE_INFINITY;
	for await (const row of rows) {
		yield row;
		left -= 1;
		if (left === 0) {
			return;
		}
	}
}

function limit(text: string): number {
	if (!/^[1-9]\d{0,8}$/.test(text)) {
		throw new InvalidArgumentError("Give a number from 1.");
	}
	return Number(text);
}
