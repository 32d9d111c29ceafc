import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { experimentFolder } from "../support/experiment-folder.js";
import { nodeWithTsx } from "../support/node-with-tsx.js";
import { runMillrace } from "../support/start-command.js";
import { tempDir } from "../support/temp-dir.js";

const worker = fileURLToPath(new URL("../support/workers/failing-worker.ts", import.meta.url));

describe("millrace run --retry-errors", { timeout: 120_000 }, () => {
	it("processes the records that failed once more, after millrace run said how to see them", async () => {
		const bad = join(tempDir(), "bad.json");
		writeFileSync(bad, JSON.stringify({ process: [3, 5] }));
		const options = { records: 8, batchSize: 2, onError: "skip", bad };
		const folder = experimentFolder({
			entrypoint: [...nodeWithTsx, worker],
			environment: { environment_variables: { WORKER_OPTIONS: JSON.stringify(options) } },
		});
		const env = { MILLRACE_DATA: folder.data };

		const first = await folder.start().ended;
		assert.equal(first.code, 0, first.stderr);
		assert.match(first.stderr, /completed: 6 records in .* s; 2 records failed and were skipped: /);
		assert.ok(first.stderr.endsWith(`: see npx millrace trial errors 1 --data ${folder.data}\n`), first.stderr);
		const errors = await runMillrace(["trial", "errors", "1"], { env });
		assert.equal(
			errors.stdout,
			"record 3  rank 0  run 1  cannot process 3\nrecord 5  rank 0  run 1  cannot process 5\n",
		);

		writeFileSync(bad, "{}");
		const again = await folder.start(["--trial", "1", "--retry-errors"]).ended;
		assert.equal(again.code, 0, again.stderr);
		assert.match(again.stderr, /trial 1 completed: 8 records in .* s\n$/);
		assert.equal((await runMillrace(["trial", "errors", "1"], { env })).stderr, "millrace: no errors\n");
		await folder.serverEnds();
	});
});
