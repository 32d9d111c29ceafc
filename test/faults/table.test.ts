import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));
const lines = readFileSync(join(root, "docs/FAULTS.md"), "utf8").split("\n");
const rows = lines
	.filter((line) => line.startsWith("| ") && !line.startsWith("| fault |") && !line.startsWith("| --- |"))
	.map((line) => line.slice(2, -2).split(" | "));

describe("the table of faults", () => {
	it("says of each fault what happens, who notices, and which test shows it", () => {
		assert.ok(rows.length >= 20, `${rows.length} rows`);
		for (const cells of rows) {
			assert.equal(cells.length, 4, cells[0]);
			const [fault, , , test = ""] = cells;
			for (const named of test.split(", ")) {
				const file = /^`(test\/\S+\.test\.ts)`$/.exec(named)?.[1];
				assert.ok(file !== undefined && existsSync(join(root, file)), `${fault}: ${named}`);
			}
		}
	});
});
