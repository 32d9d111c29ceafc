import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { describe, it } from "node:test";
import { isOutputError, outputError } from "../../src/runtime/output-error.js";
import { errorWith } from "../support/error-with.js";
import { tempDir } from "../support/temp-dir.js";

describe("outputError", () => {
	const part = join(tempDir(), "r1-w0-p0-m");

	function refused(code: string, path?: string): Error {
		return Object.assign(new Error(`${code}: refused`), { code, ...(path !== undefined && { path }) });
	}

	it("names the file, the reason and what to do", () => {
		const full = outputError(refused("ENOSPC"), part) as Error;
		errorWith("resource_exhausted", /is full.*: a file below \S+r1-w0-p0-m: ENOSPC: refused; free space on it/)(full);
		const closed = outputError(refused("EROFS", join(part, "a.txt")), part) as Error;
		errorWith("permission_denied", /cannot be written: \S+a\.txt: EROFS: refused; make it writable/)(closed);
		assert.ok(isOutputError(refused("ENOSPC")));
		assert.ok(isOutputError(full) && isOutputError(new Error("wrapped", { cause: closed })));
	});

	it("leaves errors of other files, and other errors, as they are", () => {
		for (const error of [refused("EACCES", join(dirname(dirname(part)), "a.txt")), refused("ENOENT"), "text"]) {
			assert.equal(outputError(error, part), error);
			assert.equal(isOutputError(error), false);
		}
	});
});
