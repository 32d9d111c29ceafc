import type { Migration } from "../migrate.js";

/** What models and their versions are found and sorted by. */
export const registry: Migration = {
	name: "registry",
	statements: [],
};
