import type { Migration } from "../migrate.js";

/** What workers print. */
export const logs: Migration = {
	name: "logs",
	statements: [],
};
