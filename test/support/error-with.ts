import assert from "node:assert/strict";
import { type ErrorCode, isMillraceError } from "../../src/errors.js";

/** For assert.rejects and assert.throws: a MillraceError with this code, whose message matches. */
export function errorWith(code: ErrorCode, message: RegExp): (error: Error) => true {
	return (error) => {
		assert.ok(isMillraceError(error, code), `expected ${code}, got ${error.stack}, code ${Reflect.get(error, "code")}`);
		assert.match(error.message, message);
		return true;
	};
}
