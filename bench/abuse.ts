// What callers who mean harm take from those who work, and from the server's memory. The well-behaved clients and the
// abusers are processes of their own, and so is the server, a real one. The rate of the clients is measured before,
// during and after the abuse; the undisturbed rate is the mean of before and after, as the machine has other things to
// do as well. Usage: abuse.ts [CONNECTIONS [SECONDS [KIND …]]]. Without a KIND the connections are those that send nothing,
// send rubbish, or never read what they asked for; half, pings and slow are harder, and have to be named.
import { type ChildProcess, fork } from "node:child_process";
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { ExperimentService } from "../src/gen/millrace/v1/experiment_service_pb.js";
import { MetricService } from "../src/gen/millrace/v1/metric_service_pb.js";
import { TrialService } from "../src/gen/millrace/v1/trial_service_pb.js";
import { Channel } from "../src/rpc/channel.js";
import { createRpcClient } from "../src/rpc/client.js";
import { startMillraceServer } from "./start-server.js";

const [connections = "500", seconds = "10", ...chosen] = process.argv.slice(2);
const kinds = chosen.length > 0 ? chosen : ["silent", "rubbish", "greedy"];
const clientCount = 20;
const measureMs = Number(seconds) * 1_000;

function start(script: string, ...args: readonly string[]): ChildProcess {
	const child = fork(fileURLToPath(new URL(script, import.meta.url)), args, { execArgv: ["--import", "tsx"] });
	child.once("exit", (code) => {
		if (code !== null) {
			console.error(`${script} ended with ${code}`);
			process.exit(1);
		}
	});
	process.once("exit", () => child.kill("SIGKILL"));
	return child;
}

function messageOf(child: ChildProcess): Promise<unknown> {
	return new Promise((resolve) => child.once("message", resolve));
}

/** A trial whose reports are some megabytes: something to ask for. */
async function fillTrial(address: string): Promise<number> {
	const channel = new Channel(address);
	const { experiment } = await createRpcClient(ExperimentService, channel).createExperiment({
		requestId: randomUUID(),
		config: { name: "full" },
	});
	const trials = createRpcClient(TrialService, channel);
	const { trial } = await trials.createTrial({ requestId: randomUUID(), experimentId: experiment?.id ?? 0 });
	const trialId = trial?.id ?? 0;
	const { trialRun } = await trials.startTrialRun({ requestId: randomUUID(), trialId });
	const metricsJson = JSON.stringify(Object.fromEntries(Array.from({ length: 30 }, (_, i) => [`metric_${i}`, i / 7])));
	const report = { trialId, trialRunId: trialRun?.trialRunId ?? 0, group: "inference", metricsJson };
	const { reportMetrics } = createRpcClient(MetricService, channel);
	const clientId = randomUUID();
	for (let call = 0; call < 20; call++) {
		const reports = Array.from({ length: 500 }, (_, index) => ({ ...report, stepsCompleted: call * 500 + index }));
		await reportMetrics({ clientId, sequence: BigInt(call + 1), reports });
	}
	channel.close();
	return trialId;
}

/** The calls per second that the clients have answered. */
async function rateOf(clients: ChildProcess): Promise<number> {
	const answered = async () => {
		clients.send("count");
		return (await messageOf(clients)) as number;
	};
	const before = await answered();
	const start = performance.now();
	await sleep(measureMs);
	return (((await answered()) - before) * 1_000) / (performance.now() - start);
}

/** A number of a process's status in /proc, in MB; NaN where there is no /proc. */
function memoryOf(pid: number, name: "VmRSS" | "VmHWM"): number {
	try {
		const status = readFileSync(`/proc/${pid}/status`, "utf8");
		return (Number(new RegExp(`${name}:\\s+(\\d+) kB`).exec(status)?.[1]) * 1_024) / 1e6;
	} catch {
		return Number.NaN;
	}
}

const server = await startMillraceServer();
try {
	const trialId = await fillTrial(server.address);
	const clients = start("abuse-clients.ts", server.address, String(clientCount));
	await sleep(Math.min(measureMs, 3_000));
	const before = await rateOf(clients);
	const calm = memoryOf(server.pid, "VmRSS");
	const abusers = start("abuser.ts", server.address, connections, String(trialId), ...kinds);
	await messageOf(abusers);
	const during = await rateOf(clients);
	const abused = memoryOf(server.pid, "VmRSS");
	abusers.removeAllListeners("exit");
	abusers.kill("SIGKILL");
	await sleep(Math.min(measureMs, 1_000));
	const after = await rateOf(clients);
	const undisturbed = (before + after) / 2;
	const line = (name: string, value: number, unit: string) =>
		console.log(
			`${name.padEnd(34)} ${(Number.isNaN(value) ? "unknown" : value.toFixed(unit === "" ? 2 : 0)).padStart(7)} ${unit}`,
		);
	console.log(`${clientCount} clients beside ${connections} connections: ${kinds.join(", ")}`);
	line("rate before the abuse", before, "calls/s");
	line("rate during the abuse", during, "calls/s");
	line("rate after the abuse", after, "calls/s");
	line("ratio to the undisturbed rate", during / undisturbed, "");
	line("server's memory before", calm, "MB");
	line("server's memory during", abused, "MB");
	line("server's peak memory", memoryOf(server.pid, "VmHWM"), "MB");
} finally {
	await server.stop();
}
process.exit();
