import assert from "node:assert/strict";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { resolveEntrypoint } from "../../src/launcher/resolve-entrypoint.js";
import { tempDir } from "../support/temp-dir.js";

describe("resolveEntrypoint", () => {
	const directory = tempDir();
	const env = { PATH: "/usr/bin:/bin" };
	writeFileSync(join(directory, "work.sh"), "#!/bin/sh\n");
	chmodSync(join(directory, "work.sh"), 0o755);
	writeFileSync(join(directory, "notes.txt"), "no program\n");
	mkdirSync(join(directory, "folder"));
	const resolved = (entrypoint: string | string[]) => resolveEntrypoint(entrypoint, directory, env);

	it("gives a string to the shell", () => {
		assert.deepEqual(resolved("env A=1 ./x | cat"), ["sh", "-c", "env A=1 ./x | cat"]);
	});

	it("finds a list's program on PATH", () => {
		assert.match(resolved(["env", "A=1"])[0] ?? "", /^\/(usr\/)?bin\/env$/);
	});

	it("finds a list's program in the directory, with or without a path", () => {
		assert.deepEqual(resolved(["work.sh", "a b"]), [join(directory, "work.sh"), "a b"]);
		assert.deepEqual(resolved(["./work.sh"]), [join(directory, "work.sh")]);
	});

	for (const line of ["./work.sh a", "cd /tmp && ls", "A=1 no-such-command", "$CMD", "if true; then ls; fi", "(ls)"]) {
		it(`leaves ${line} to the shell`, () => assert.deepEqual(resolved(line), ["sh", "-c", line]));
	}

	const missing: [string | string[], string][] = [
		["no-such-command a", "no-such-command"],
		["./no-such-file", "./no-such-file"],
		["work.sh", "work.sh"],
		[["no-such-command", "a"], "no-such-command"],
		[["notes.txt"], "notes.txt"],
		[["./folder"], "./folder"],
	];
	for (const [entrypoint, program] of missing) {
		it(`refuses ${JSON.stringify(entrypoint)}`, () => {
			assert.throws(() => resolved(entrypoint), {
				code: "invalid_argument",
				message: new RegExp(`^entrypoint ".*": ${program.replaceAll(".", "\\.")}: command not found; `),
			});
		});
	}
});
