import assert from "node:assert/strict";
import { availableParallelism } from "node:os";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { openConnection } from "../../src/sdk/connection.js";
import { startServer } from "../../src/server/index.js";
import { isAlive, runMillrace, startMillrace } from "../support/start-command.js";
import { tempDir } from "../support/temp-dir.js";
import { waitUntil } from "../support/wait-until.js";

const watchingWorker = [
	"node",
	"--import",
	import.meta.resolve("tsx"),
	fileURLToPath(new URL("../support/watching-worker.ts", import.meta.url)),
];

function pidsIn(output: string): number[] {
	return [...output.matchAll(/pid=(\d+)/g)].map((match) => Number(match[1]));
}

async function noneLeft(output: string): Promise<void> {
	const pids = pidsIn(output);
	assert.notEqual(pids.length, 0);
	for (const pid of pids) {
		await waitUntil(`the end of process ${pid}`, async () => !(await isAlive(pid)));
	}
}

describe("millrace launch", { timeout: 240_000 }, () => {
	it("starts as many workers as asked for, with torchrun's environment", async () => {
		const names = "RANK WORLD_SIZE LOCAL_RANK LOCAL_WORLD_SIZE GROUP_RANK GROUP_WORLD_SIZE MILLRACE_PARENT_PIPE";
		const script = names.split(" ").map((name) => `$${name}`);
		const { code, stdout } = await runMillrace([
			"launch",
			"--nproc-per-node",
			"3",
			"--",
			"sh",
			"-c",
			`echo ${script.join(" ")}`,
		]);
		assert.equal(code, 0);
		assert.deepEqual(stdout.split("\n").sort(), [
			"",
			"[rank=0] 0 3 0 3 0 1 1",
			"[rank=1] 1 3 1 3 0 1 1",
			"[rank=2] 2 3 2 3 0 1 1",
		]);
	});

	const ranks = "echo $RANK $WORLD_SIZE $LOCAL_RANK $LOCAL_WORLD_SIZE $GROUP_RANK $GROUP_WORLD_SIZE";

	it("counts the ranks of several nodes on, and leads their workers to one server and trial", async () => {
		const nodes = ["--nnodes", "3", "--node-rank", "1", "--nproc-per-node", "2"];
		const trial = ["--server", "127.0.0.1:1", "--trial", "7"];
		const script = `${ranks} $MILLRACE_SERVER $MILLRACE_TRIAL_ID run=$MILLRACE_TRIAL_RUN_ID; exit $((RANK == 3))`;
		const env = { MILLRACE_TRIAL_ID: "6", MILLRACE_TRIAL_RUN_ID: "4" };
		const end = await runMillrace(["launch", ...nodes, ...trial, "--", "sh", "-c", script], { env });
		assert.deepEqual(end.stdout.split("\n").sort(), [
			"",
			"[rank=2] 2 6 0 2 1 3 127.0.0.1:1 7 run=",
			"[rank=3] 3 6 1 2 1 3 127.0.0.1:1 7 run=",
		]);
		assert.match(end.stderr, /\n {2}rank +: 3 \(local_rank: 1\)\n/);
	});

	it("takes server, trial and run of several nodes from the environment too", async () => {
		const env = { MILLRACE_SERVER: "127.0.0.1:1", MILLRACE_TRIAL_ID: "7", MILLRACE_TRIAL_RUN_ID: "4" };
		const args = ["launch", "--nnodes=2", "--node_rank", "0", "--trial", "7", "--", "sh", "-c"];
		const script = `${ranks} $MILLRACE_SERVER $MILLRACE_TRIAL_ID run=$MILLRACE_TRIAL_RUN_ID; exit 75`;
		const { stdout } = await runMillrace([...args, script], { env });
		assert.equal(stdout, "[rank=0] 0 2 0 1 0 2 127.0.0.1:1 7 run=4\n");
	});

	it("takes the number of workers from MILLRACE_SLOTS, the flag first, and 1 without either", async () => {
		const count = async (args: string[], env: Record<string, string>) =>
			(await runMillrace(["launch", ...args, "--", "echo"], { env })).stdout.trim().split("\n").length;
		const env = { MILLRACE_SLOTS: "2" };
		assert.deepEqual(
			await Promise.all([
				count([], env),
				count(["--nproc_per_node", "3"], env),
				count(["--nproc-per-node=auto"], env),
				count([], {}),
			]),
			[2, 3, availableParallelism(), 1],
		);
	});

	it("keeps stdout and stderr apart, in whole lines", async () => {
		const end = await runMillrace(["launch", "sh", "-c", "printf 'a\\rb'; printf 'c\\nd' >&2"]);
		assert.equal(end.stdout, "[rank=0] a\n[rank=0] b\n");
		assert.equal(end.stderr, "[rank=0] c\n[rank=0] d\n");
		assert.equal(end.code, 0);
	});

	it("passes the words after the command on as they are", async () => {
		const { stdout } = await runMillrace(["launch", "--", "echo", "--grace", "x y", "--", "-h"]);
		assert.equal(stdout, "[rank=0] --grace x y -- -h\n");
	});

	it("exits 75 when a worker was preempted and the others did not fail", async () => {
		const end = await runMillrace(["launch", "--nproc-per-node", "2", "--", "sh", "-c", "exit $((RANK * 75))"]);
		assert.equal(end.code, 75);
		assert.equal(end.stderr, "");
	});

	it("ends the others when one fails, and tells which failed first", async () => {
		const script =
			'echo pid=$$; [ $RANK = 1 ] || exec sleep 60; for i in $(seq 30); do echo "line $i"; done; echo why >&2; exit 7';
		const end = await runMillrace([
			"launch",
			"--nproc-per-node",
			"2",
			"--failure-grace",
			"0.2",
			"--",
			"sh",
			"-c",
			script,
		]);
		assert.equal(end.code, 7);
		assert.match(end.stderr, /Root cause \(first observed failure\):\n {2}time +: 2.*\n {2}host +: .+\n {2}rank +: 1 /);
		assert.match(end.stderr, /\n {2}exit code : 7\n/);
		assert.match(end.stderr, /\n {4}line 30\n/);
		assert.match(end.stderr, /\n {4}why\n/);
		assert.doesNotMatch(end.stderr, /\n {4}line 1\n/);
		await noneLeft(end.stdout);
	});

	it("kills the others when one fails and they ignore SIGTERM", async () => {
		const script = 'echo pid=$$; trap "" TERM; [ $RANK = 1 ] && exit 4; while :; do sleep 1; done';
		const end = await runMillrace([
			"launch",
			"--nproc-per-node",
			"2",
			"--failure-grace",
			"0.2",
			"--",
			"sh",
			"-c",
			script,
		]);
		assert.equal(end.code, 4);
		await noneLeft(end.stdout);
	});

	it("lets the others end by themselves after one failed", async () => {
		const script = "[ $RANK = 1 ] && exit 4; sleep 0.3; echo done; exit 0";
		const end = await runMillrace(["launch", "--nproc-per-node", "2", "--", "sh", "-c", script]);
		assert.equal(end.code, 4);
		assert.match(end.stdout, /\[rank=0\] done/);
	});

	it("exits with 128 and the number of the signal that killed a worker", async () => {
		const end = await runMillrace(["launch", "--", "sh", "-c", "kill -KILL $$"]);
		assert.equal(end.code, 137);
		assert.match(end.stderr, /\n {2}signal {4}: SIGKILL\n[\s\S]* {2}It wrote nothing/);
	});

	it("tells which workers had ended well before another failed", async () => {
		const script = "[ $RANK = 0 ] && exit 0; sleep 0.5; exit 3";
		const end = await runMillrace(["launch", "--nproc-per-node", "2", "--", "sh", "-c", script]);
		assert.equal(end.code, 3);
		assert.match(end.stderr, /\n {2}rank 0 exited with code 0 at 2\S+Z, before the run was done\n=/);
	});

	it("says that the JavaScript heap was full", async () => {
		const fill = "const a = []; for (;;) a.push(new Array(1000).fill(0.5));";
		const end = await runMillrace(["launch", "--", process.execPath, "--max-old-space-size=20", "-e", fill]);
		assert.equal(end.code, 134);
		assert.match(end.stderr, /\n {2}It ran out of JavaScript heap: use smaller batches, or NODE_OPTIONS=/);
	});

	it("says how to go on with a trial, if nothing above it will", async () => {
		const env = { MILLRACE_TRIAL_ID: "5", MILLRACE_SERVER: "127.0.0.1:1" };
		const alone = await runMillrace(["launch", "--", "false"], { env });
		assert.match(
			alone.stderr,
			/\n {2}next {6}: give the same command again; trial 5 goes on after its last commits\n=/,
		);
		const below = await runMillrace(["launch", "--", "false"], { env: { ...env, MILLRACE_PARENT_PIPE: "1" } });
		assert.doesNotMatch(below.stderr, /next {6}:/);
	});

	it("passes on a wrapper's way to tell of a signal", async () => {
		const end = await runMillrace(["launch", "--", "sh", "-c", "exit 137"]);
		assert.equal(end.code, 137);
		assert.match(end.stderr, /\n {2}exit code : 137 \(SIGKILL\)\n/);
	});

	it("exits 0 for a trial without a run, and for one whose server cannot be asked", async () => {
		const server = await startServer({ dataDirectory: tempDir(), port: 0 });
		const connection = openConnection(server.address);
		try {
			await connection.experiments.createExperiment({ requestId: "e", config: { name: "test" } });
			await connection.trials.createTrial({ requestId: "t", experimentId: 1 });
			for (const trialId of ["1", "99"]) {
				const env = { MILLRACE_SERVER: server.address, MILLRACE_TRIAL_ID: trialId };
				const end = await runMillrace(["launch", "--", "true"], { env });
				assert.deepEqual([end.code, end.stderr], [0, ""]);
			}
		} finally {
			connection.close();
			await server.close();
		}
	});

	it("exits with 1 when a worker's exit code is above 127", async () => {
		assert.equal((await runMillrace(["launch", "--", "sh", "-c", "exit 200"])).code, 1);
	});

	it("leaves nothing running that a worker started", async () => {
		const end = await runMillrace(["launch", "--", "sh", "-c", "sleep 60 & echo pid=$!; exit 0"]);
		assert.equal(end.code, 0);
		await noneLeft(end.stdout);
	});

	for (const signal of ["SIGTERM", "SIGINT"] as const) {
		it(`passes ${signal} on to the workers and waits for them`, async () => {
			const script = 'trap "echo saved; exit 75" TERM; echo ready; while :; do sleep 0.05; done';
			const command = startMillrace(["launch", "--nproc-per-node", "2", "--", "sh", "-c", script]);
			await command.writes(/rank=0\] ready[\s\S]*rank=1\] ready|rank=1\] ready[\s\S]*rank=0\] ready/);
			command.signal(signal);
			const end = await command.ended;
			assert.equal(end.code, 75);
			assert.equal(end.stdout.match(/saved/g)?.length, 2);
		});
	}

	it("lets what a worker started use the grace too, when only the worker's wrapper is gone", async () => {
		const inner = 'trap "sleep 0.3; echo saved; exit 75" TERM; echo ready; while :; do sleep 0.05; done';
		const command = startMillrace(["launch", "--", "sh", "-c", `sh -c '${inner}'; true`]);
		await command.writes("ready");
		command.signal("SIGTERM");
		const end = await command.ended;
		assert.match(end.stdout, /saved/);
		assert.equal(end.code, 143);
	});

	it("does not look dead to a worker whose wrapper is gone", async () => {
		const wrapper = `${watchingWorker.map((word) => `'${word}'`).join(" ")}; true`;
		const command = startMillrace(["launch", "--grace", "1", "--", "sh", "-c", wrapper]);
		await command.writes("pid=");
		const startMs = performance.now();
		command.signal("SIGTERM");
		const end = await command.ended;
		// The worker ignores SIGTERM, so only the end of the grace may have ended it.
		assert.ok(performance.now() - startMs >= 1_000);
		await noneLeft(end.stdout);
	});

	it("exits with 128 and the number of the signal when it killed the workers, without blaming them", async () => {
		const command = startMillrace(["launch", "--", "sh", "-c", "echo pid=$$; exec sleep 60"]);
		await command.writes("pid=");
		command.signal("SIGINT");
		const end = await command.ended;
		assert.equal(end.code, 130);
		assert.equal(end.stderr, "");
	});

	const stubborn = ["sh", "-c", 'trap "echo no" TERM; echo pid=$$; while :; do sleep 0.05; done'];

	it("kills the workers after the grace", async () => {
		const command = startMillrace(["launch", "--grace", "0.3", "--", ...stubborn]);
		await command.writes("pid=");
		command.signal("SIGTERM");
		const end = await command.ended;
		assert.equal(end.code, 143);
		assert.match(end.stdout, /no/);
		await noneLeft(end.stdout);
	});

	it("takes a signal that a wrapper passes on as the one that it got itself", async () => {
		const script = 'trap "sleep 0.3; echo saved; exit 75" TERM; echo ready; while :; do sleep 0.05; done';
		const command = startMillrace(["launch", "--", "sh", "-c", script]);
		await command.writes("ready");
		command.signal("SIGTERM");
		command.signal("SIGINT");
		command.signal("SIGTERM");
		const end = await command.ended;
		assert.equal(end.code, 75);
		assert.match(end.stdout, /saved/);
	});

	it("kills the workers at the second signal", async () => {
		const command = startMillrace(["launch", "--grace", "3600", "--", ...stubborn]);
		await command.writes("pid=");
		command.signal("SIGTERM");
		await command.writes("no");
		const again = setInterval(() => command.signal("SIGTERM"), 100);
		const end = await command.ended;
		clearInterval(again);
		assert.equal(end.code, 143);
		await noneLeft(end.stdout);
	});

	it("kills the workers when its own parent is gone", async () => {
		const command = startMillrace(["launch", "--", ...stubborn], { env: { MILLRACE_PARENT_PIPE: "1" } });
		await command.writes("pid=");
		command.endStdin();
		const end = await command.ended;
		assert.equal(end.code, 129);
		await noneLeft(end.stdout);
	});

	it("goes on when its stdin ends and nobody promised to hold it", async () => {
		const command = startMillrace(["launch", "--", "sh", "-c", "echo ready; sleep 0.3; exit 5"]);
		command.endStdin();
		assert.equal((await command.ended).code, 5);
	});

	it("leaves no worker behind when it is killed itself", async () => {
		const command = startMillrace(["launch", "--nproc-per-node", "2", "--", ...watchingWorker]);
		await waitUntil("two workers", () => pidsIn(command.stdout()).length === 2);
		command.signal("SIGKILL");
		await noneLeft(command.stdout());
		await command.ended;
	});

	it("refuses a command that does not exist", async () => {
		const end = await runMillrace(["launch", "--nproc-per-node", "2", "--", "no-such-command"]);
		assert.equal(end.code, 2);
		assert.equal(end.stderr, "millrace: no-such-command: command not found; check its name and PATH\n");
	});

	it("refuses a command that may not be run", async () => {
		const end = await runMillrace(["launch", "--", "/etc/passwd"]);
		assert.equal(end.code, 2);
		assert.match(end.stderr, /^millrace: \/etc\/passwd: .*EACCES/);
	});

	const misuses: [string[], Record<string, string>, RegExp][] = [
		[["launch"], {}, /missing required argument 'command'/],
		[["launch", "--"], {}, /missing required argument 'command'/],
		[["launch", "--nproc-per-node", "0", "--", "true"], {}, /--nproc-per-node must be a positive integer, not "0"/],
		[["launch", "--", "true"], { MILLRACE_SLOTS: "two" }, /MILLRACE_SLOTS must be a positive integer, not "two"/],
		[["launch", "--grace", "soon", "--", "true"], {}, /Give a number of seconds/],
		[["launch", "--nope", "--", "true"], {}, /unknown option '--nope'/],
		[["launch", "--nnodes", "0", "--", "true"], {}, /--nnodes must be a whole number of at least 1, not "0"/],
		[["launch", "--node-rank", "1", "--", "true"], {}, /--node-rank is 1, but --nnodes is 1/],
		[["launch", "--trial", "x", "--", "true"], {}, /--trial must be a whole number of at least 1, not "x"/],
		[
			["launch", "--nnodes", "2", "--", "true"],
			{},
			/--nnodes is 2; give also --node-rank, which .*; --server, the .*; --trial, the trial .*millrace trial create/,
		],
		[["launch", "--nnodes", "2", "--node-rank", "0", "--server", "a:1", "--", "true"], {}, /give also --trial, the/],
	];
	for (const [args, env, message] of misuses) {
		it(`exits 2 for ${[...args, ...Object.entries(env).flat()].join(" ")}`, async () => {
			const end = await runMillrace(args, { env });
			assert.equal(end.code, 2);
			assert.match(end.stderr, message);
			assert.equal(end.stdout, "");
		});
	}
});
