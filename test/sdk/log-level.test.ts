import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { LogLevel } from "../../src/gen/millrace/v1/log_pb.js";
import { parseLogLevel } from "../../src/sdk/log-level.js";

describe("parseLogLevel", () => {
	it("reads the level where the beginning of the line plainly says so", () => {
		const lines: [string, string][] = [
			["ERROR it broke", "ERROR"],
			["ERROR", "ERROR"],
			["Error: it broke", "ERROR"],
			["error : it broke", "ERROR"],
			["[warn] careful", "WARNING"],
			["WARNING:root:careful", "WARNING"],
			["<debug> x", "DEBUG"],
			["(TRACE) x", "TRACE"],
			["FATAL | x", "CRITICAL"],
			["  CRITICAL\tx", "CRITICAL"],
			["2026-11-22 21:00:00,123 ERROR x", "ERROR"],
			["2026-11-22T21:00:00.123456Z debug: x", "DEBUG"],
			["[2026-11-22T21:00:00+01:00] [WARNING] x", "WARNING"],
			["21:00:00 - ERROR - x", "ERROR"],
		];
		for (const [line, level] of lines) {
			assert.equal(LogLevel[parseLogLevel(line)], level, line);
		}
	});

	it("takes all other lines for INFO", () => {
		const lines = [
			"",
			"INFO it runs",
			"it had an ERROR",
			"error in the middle of a sentence",
			"Errors: 3",
			"ERRORS 3",
			"DEBUG=1 node worker.js",
			"    at Error (file.js:1:1)",
			"2026-11-22 ERROR",
			`${" ".repeat(200)}ERROR`,
		];
		for (const line of lines) {
			assert.equal(LogLevel[parseLogLevel(line)], "INFO", line);
		}
	});
});
