import { mkdtempSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";

/** Makes an empty directory that is removed after the test, suite or file that it is called in. */
export function tempDir(): string {
	const directory = mkdtempSync(join(realpathSync(tmpdir()), "millrace-test-"));
	after(() => rmSync(directory, { recursive: true, force: true, maxRetries: 5 }));
	return directory;
}
