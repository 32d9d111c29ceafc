import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { stringify } from "yaml";
import { Client } from "../../src/sdk/index.js";
import { nodeWithTsx } from "../support/node-with-tsx.js";
import { builtCommand } from "../support/start-built-server.js";
import type { RunningCommand } from "../support/start-command.js";
import { type Host, type HostCommandOptions, hostsUnavailable, startHosts } from "../support/start-hosts.js";
import { tempDir } from "../support/temp-dir.js";
import { waitUntil } from "../support/wait-until.js";

const worker = fileURLToPath(new URL("../support/workers/recording-worker.ts", import.meta.url));
const millrace = [process.execPath, builtCommand];
const leaseSeconds = 3;

describe("millrace launch on several hosts", { skip: hostsUnavailable(), timeout: 240_000 }, async () => {
	if (hostsUnavailable() !== false) {
		return;
	}
	const dataDirectory = tempDir();
	const shared = tempDir();
	const { center, left, right } = startHosts(["center", "left", "right"]);
	const server = `${center.address}:8090`;
	const serve = ["server", "--host", center.address, "--insecure", "--data", dataDirectory];
	const serving = center.start([...millrace, ...serve, "--lease", String(leaseSeconds)]);

	await writes(serving, "serving at");

	/** Records a trial, and returns its id. */
	async function createTrial(config: object): Promise<number> {
		const file = join(tempDir(), "trial.yaml");
		writeFileSync(file, stringify({ name: "hosts", ...config }));
		const { code, stdout, stderr } = await left.start([...millrace, "trial", "create", file, "--server", server]).ended;
		assert.equal(code, 0, stderr);
		return Number(stdout);
	}

	/** Starts two workers on a host, which is node 0 or 1 of two. */
	function launch(host: Host, trialId: number, options: object, more: HostCommandOptions = {}): RunningCommand {
		const nodes = ["--nnodes", "2", "--node-rank", host === left ? "0" : "1", "--nproc-per-node", "2"];
		const flags = [...nodes, "--server", server, "--trial", String(trialId)];
		const env = { WORKER_OPTIONS: JSON.stringify({ records: 120, batchSize: 5, checkpointInterval: 2, ...options }) };
		return host.start([...millrace, "launch", ...flags, "--", ...nodeWithTsx, worker], { env, ...more });
	}

	/** As `command.writes`, for what may take long on a busy machine. */
	function writes(command: RunningCommand, text: string | RegExp): Promise<unknown> {
		const isThere = (output: string) => (typeof text === "string" ? output.includes(text) : text.test(output));
		return waitUntil(`${text}`, () => isThere(command.stdout() + command.stderr()), 60_000);
	}

	const onShared = { checkpoint_storage: { type: "shared_fs", host_path: shared } };
	const trialIds: number[] = [];

	it("brings the workers of two hosts together", async () => {
		const trialId = await createTrial(onShared);
		trialIds.push(trialId);
		const ends = await Promise.all([launch(left, trialId, {}), launch(right, trialId, {})].map(({ ended }) => ended));
		for (const { code, stdout, stderr } of ends) {
			assert.equal(code, 0, stdout + stderr);
		}
		assert.match(ends[0]?.stdout ?? "", /\[rank=1\] .*"completed"/);
		assert.match(ends[1]?.stdout ?? "", /\[rank=3\] .*"completed"/);
	});

	it("ends the run of a host that is cut off for longer than the lease, and goes on when it is back", async () => {
		const trialId = await createTrial(onShared);
		trialIds.push(trialId);
		const file = join(tempDir(), "go-on");
		const options = { hold: { call: "processBatch", count: 4, rank: 3, run: 1, file } };
		const [here, there] = [launch(left, trialId, options), launch(right, trialId, options)];
		await writes(there, '"call":"processBatch","count":4,"rank":3');
		right.cut();
		try {
			const cutMs = Date.now();
			await writes(here, /\[rank=[01]\] .*MillraceError: .*rank [23] on right is lost: it was silent for 3 s/);
			const seconds = (Date.now() - cutMs) / 1_000;
			console.log(`cut off, with a lease of ${leaseSeconds} s: noticed after ${seconds} s`);
			assert.ok(seconds > leaseSeconds / 2 && seconds < leaseSeconds + 2, String(seconds));
			assert.equal((await here.ended).code, 1);
			// To the other side the server may only be down for a while, so it tries on.
			assert.doesNotMatch(there.stderr(), /MillraceError/);
		} finally {
			right.mend();
		}
		await writes(there, /\[rank=2\] .*MillraceError: run 1 of .*rank [23] on right is lost/);
		writeFileSync(file, "");
		assert.equal((await there.ended).code, 1);

		const later = await Promise.all([launch(left, trialId, {}), launch(right, trialId, {})].map(({ ended }) => ended));
		for (const { code, stdout, stderr } of later) {
			assert.equal(code, 0, stdout + stderr);
		}
		assert.match(later[0]?.stdout ?? "", new RegExp(`"trialId":${trialId},"trialRunId":2`));
	});

	const unshared: [string, object, string, RegExp][] = [
		["checkpoint_storage is another file system on one of them", onShared, shared, /mount the file system of its/],
		["the trial has the server's own storage", {}, dataDirectory, /set checkpoint_storage in .* type shared_fs/],
	];
	for (const [name, config, storage, remedy] of unshared) {
		it(`refuses to start where ${name}`, async () => {
			const trialId = await createTrial(config);
			const mounts = { [storage]: tempDir() };
			const ends = await Promise.all([launch(left, trialId, {}).ended, launch(right, trialId, {}, { mounts }).ended]);
			for (const { code, stderr } of ends) {
				assert.equal(code, 1, stderr);
				assert.match(
					stderr,
					/the nodes do not share the trial's storage .*: node 1 does not see it \(rank 2 on right\)/,
				);
				assert.match(stderr, remedy);
			}
		});
	}

	it("has committed every record once, whatever was cut off", async () => {
		serving.signal("SIGTERM");
		assert.equal((await serving.ended).code, 0);
		const client = new Client({ dataDirectory });
		for (const trialId of trialIds) {
			const trial = await client.getTrial(trialId);
			const values = (await trial.downloadOutputs(tempDir())).flatMap((file) =>
				readFileSync(file, "utf8").trim().split("\n").map(Number),
			);
			assert.deepEqual(
				values.sort((a, b) => a - b),
				Array.from({ length: 120 }, (_, i) => i),
			);
			const [validation] = await trial.getMetrics("validation");
			assert.equal(validation?.metrics.sum, (119 * 120) / 2);
		}
		await client.close();
	});
});
