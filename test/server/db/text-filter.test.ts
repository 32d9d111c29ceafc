import assert from "node:assert/strict";
import { before, describe, it } from "node:test";
import { Database } from "../../../src/server/db/database.js";
import { containsPattern } from "../../../src/server/db/text-filter.js";
import { errorWith } from "../../support/error-with.js";
import { tempDir } from "../../support/temp-dir.js";

describe("containsPattern", () => {
	let db: Database;
	before(async () => {
		db = await Database.open(tempDir());
		return () => db.close();
	});

	const finds = async (filter: string, text: string) => {
		const row = await db.get<{ found: number }>("SELECT ? GLOB ? AS found", text, containsPattern("name", filter));
		return row?.found === 1;
	};

	it("finds what contains the text, in any case, beyond ASCII too", async () => {
		for (const [filter, text] of [
			["", ""],
			["", "x"],
			["NiS", "mnist"],
			["m", "M"],
			["über", "ein ÜBERBLICK"],
			["Ж", "уж"],
			["𐐀", "𐐨"],
			["ß", "groß"],
		] as const) {
			assert.equal(await finds(filter, text), true, `${filter} in ${text}`);
		}
		assert.equal(await finds("z", "mnist"), false);
	});

	it("knows no wildcards (F.40)", async () => {
		for (const character of "%_*?[]^-\\!'\"") {
			assert.equal(await finds(`a${character}b`, `xa${character}by`), true, character);
			assert.equal(await finds(`a${character}b`, "xacby"), false, character);
			assert.equal(await finds(character, "abc"), false, character);
		}
		assert.equal(await finds("[a-c]", "b"), false);
		assert.equal(await finds("[a-c]", "x[A-C]"), true);
	});

	it("refuses what SQLite could not look for", async () => {
		assert.throws(() => containsPattern("name", "x".repeat(1001)), errorWith("invalid_argument", /name has 1001/));
		assert.throws(() => containsPattern("name", "a\0b"), errorWith("invalid_argument", /name has a NUL/));
		assert.equal(await finds("Ǆ".repeat(1000), "ǆ".repeat(1000)), true);
	});
});
