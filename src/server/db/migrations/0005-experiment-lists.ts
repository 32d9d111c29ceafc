import type { Migration } from "../migrate.js";

/** What experiments and trials are found and sorted by, and what their programs say of themselves. */
export const experimentLists: Migration = {
	name: "experiment-lists",
	statements: [],
};
