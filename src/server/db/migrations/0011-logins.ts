import type { Migration } from "../migrate.js";

/**
 * Tells the tokens of a login from those that programs have. Those of before count as a program's, as it is not known: who
 * has logged in does so once more.
 */
export const logins: Migration = {
	name: "logins",
	statements: ["ALTER TABLE tokens ADD COLUMN login INTEGER NOT NULL DEFAULT 0"],
};
