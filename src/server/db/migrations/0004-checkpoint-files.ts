import type { Migration } from "../migrate.js";

/** Who wrote a checkpoint, and which of its files are still to be removed. */
export const checkpointFiles: Migration = {
	name: "checkpoint-files",
	statements: [],
};
