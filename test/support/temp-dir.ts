import assert from "node:assert/strict";
import { mkdtempSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { leftSecrets } from "./left-secrets.js";

/**
 * Makes an empty directory that is removed after the test, suite or file that it is called in. That fails if a password or
 * the secret of a token is left in it, unless the test says that one may.
 */
export function tempDir({ mayHoldSecrets = false } = {}): string {
	const directory = mkdtempSync(join(realpathSync(tmpdir()), "millrace-test-"));
	after(() => {
		const secrets = mayHoldSecrets ? [] : leftSecrets(directory);
		rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
		assert.deepEqual(secrets, []);
	});
	return directory;
}
