import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { tempDir } from "../support/temp-dir.js";
import { noticesOf } from "./notice.js";

const lost = 'rank 1 of run 1 on "host" is lost';

/** Returns what is found in these notes of a freeze of rank 1 in run 1 of leg 0, one second after the beginning. */
function notices(notes: readonly object[]) {
	const directory = tempDir();
	const lines = notes.map((note) => `${JSON.stringify({ what: "error", text: lost, leg: 0, ...note })}\n`);
	writeFileSync(join(directory, "notes.jsonl"), lines.join(""));
	return noticesOf(directory, [{ kind: "worker-freeze", step: "batch", rank: 1, leg: 0, run: 1, time: 1_000 }]);
}

describe("noticesOf", () => {
	it("takes the last of the others that noticed", () => {
		const found = notices([
			{ rank: 0, run: 1, time: 3_000 },
			{ rank: 2, run: 1, time: 3_500 },
		]);
		assert.deepEqual(found, [{ kind: "worker-freeze", ms: 2_500 }]);
	});

	it("leaves out what a later run or leg noticed, and what the lost one says itself", () => {
		const found = notices([
			{ rank: 0, run: 1, time: 3_000 },
			{ rank: 1, run: 1, time: 8_000 },
			{ rank: 0, run: 2, time: 9_000 },
			{ rank: 0, run: 1, leg: 1, time: 9_500 },
		]);
		assert.deepEqual(found, [{ kind: "worker-freeze", ms: 2_000 }]);
	});

	it("finds nothing where nobody noticed", () => {
		assert.deepEqual(notices([{ rank: 0, run: 2, time: 9_000 }]), []);
	});
});
