import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { Client } from "../../src/sdk/index.js";
import { tempDir } from "../support/temp-dir.js";

/**
 * Checks that recording workers have completed a trial, and what they left: each of its records once in the outputs,
 * in the sums that they reported and in the reducers' results.
 */
export async function checkCompleted(server: string, trialId: number, records: number): Promise<void> {
	const client = new Client({ server });
	try {
		const trial = await client.getTrial(trialId);
		assert.equal(trial.state, "COMPLETED");
		const expected = Array.from({ length: records }, (_, i) => i);
		const files = await trial.downloadOutputs(tempDir());
		const values = files.flatMap((file) => readFileSync(file, "utf8").trim().split("\n").map(Number));
		assert.deepEqual(
			values.sort((a, b) => a - b),
			expected,
		);
		const total = (records * (records - 1)) / 2;
		const reports = await trial.getMetrics<{ batch_sum?: number }>("inference");
		assert.equal(
			reports.reduce((sum, { metrics }) => sum + (metrics.batch_sum ?? 0), 0),
			total,
		);
		const [validation] = await trial.getMetrics("validation");
		assert.deepEqual(validation?.metrics, { sum: total });
	} finally {
		await client.close();
	}
}

/** Checks that the storage of a trial's outputs has the files that its manifest names, and no other. */
export async function checkNoStrayFiles(server: string, trialId: number, storage: string): Promise<void> {
	const client = new Client({ server });
	try {
		const outputs = await client.getTrial(trialId).listOutputs();
		const found = readdirSync(storage, { recursive: true, withFileTypes: true })
			.filter((entry) => entry.isFile())
			// Below the trial's own directory.
			.map((entry) => relative(storage, join(entry.parentPath, entry.name)).split("/").slice(1).join("/"));
		assert.deepEqual(found.sort(), outputs.map(({ path }) => path).sort());
	} finally {
		await client.close();
	}
}
