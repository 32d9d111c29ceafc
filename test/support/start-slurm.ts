import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { availableParallelism, hostname } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { tempDir } from "./temp-dir.js";
import { waitUntil } from "./wait-until.js";

/** A Slurm of one node. */
export interface StartedSlurm {
	/** What srun and the like need in their environment. */
	readonly env: Readonly<Record<string, string>>;
}

/**
 * Starts a Slurm of one node on this machine, all of whose files are in a temporary directory, and stops it after
 * the test or suite that it is called in. It needs root.
 */
export async function startSlurm(): Promise<StartedSlurm> {
	const daemons: ChildProcess[] = [];
	// Registered before the directory's own removal, so that it runs before it.
	after(() => stopAll(daemons));
	const directory = tempDir();
	// munged refuses a socket that others cannot reach.
	chmodSync(directory, 0o755);
	for (const name of ["munge", "state", "spool"]) {
		mkdirSync(join(directory, name), { mode: 0o755 });
	}
	const key = join(directory, "munge.key");
	writeFileSync(key, randomBytes(128), { mode: 0o600 });
	const munge = join(directory, "munge");
	const socket = join(munge, "socket");
	const [controllerPort, nodePort] = [await freePort(), await freePort()];
	const conf = join(directory, "slurm.conf");
	writeFileSync(
		conf,
		`ClusterName=millrace
SlurmctldHost=${hostname()}(127.0.0.1)
SlurmctldPort=${controllerPort}
SlurmdPort=${nodePort}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=${socket}
CredType=cred/munge
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
KillWait=5
StateSaveLocation=${join(directory, "state")}
SlurmdSpoolDir=${join(directory, "spool")}
SlurmctldPidFile=${join(directory, "slurmctld.pid")}
SlurmdPidFile=${join(directory, "slurmd.pid")}
NodeName=${hostname()} NodeAddr=127.0.0.1 CPUs=${availableParallelism()}
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
`,
	);
	const env = { SLURM_CONF: conf };
	const start = (program: string, args: readonly string[]) => {
		const child = spawn(program, args, { stdio: "ignore", env: { ...process.env, ...env } });
		daemons.push(child);
		return child;
	};
	start("munged", [
		"--foreground",
		`--socket=${socket}`,
		`--key-file=${key}`,
		`--log-file=${join(munge, "log")}`,
		`--pid-file=${join(munge, "pid")}`,
		`--seed-file=${join(munge, "seed")}`,
	]);
	const succeeds = (program: string, args: readonly string[]) => {
		const { status, stdout } = spawnSync(program, args, {
			env: { ...process.env, ...env },
			encoding: "utf8",
			timeout: 5_000,
		});
		return status === 0 ? stdout : undefined;
	};
	await waitUntil("munged", () => succeeds("munge", [`--socket=${socket}`, "--no-input"]));
	start("slurmctld", ["-D"]);
	start("slurmd", ["-D"]);
	await waitUntil("an idle Slurm node", () => succeeds("sinfo", ["-h", "-o", "%t"])?.trim() === "idle", 60_000);
	return { env };
}

/** Ends the daemons in the opposite order of their start, and waits for it. */
async function stopAll(daemons: readonly ChildProcess[]): Promise<void> {
	for (const daemon of [...daemons].reverse()) {
		const ended = new Promise((resolve) => daemon.once("close", resolve));
		const isRunning = daemon.exitCode === null && daemon.signalCode === null && daemon.kill("SIGTERM");
		const killer = setTimeout(() => daemon.kill("SIGKILL"), 5_000);
		if (isRunning) {
			await ended;
		}
		clearTimeout(killer);
	}
}

async function freePort(): Promise<number> {
	const server = createServer();
	const port = await new Promise<number>((resolve) =>
		server.listen(0, "127.0.0.1", () => {
			const address = server.address();
			resolve(typeof address === "object" ? (address?.port ?? 0) : 0);
		}),
	);
	await new Promise((resolve) => server.close(resolve));
	return port;
}
