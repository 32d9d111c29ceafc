// How long N workers take to join a trial run, and for a gather. Beside it the same for N bare gRPC streams, on each of
// which one message goes there and back: no rendezvous over gRPC can be faster. Workers and streams are simulated in
// this process, each over a connection of its own; the servers are processes. Arguments: [N …]
import { randomUUID } from "node:crypto";
import { fileURLToPath } from "node:url";
import { type ClientDuplexStream, credentials, Client as GrpcClient, Metadata } from "@grpc/grpc-js";
import { ExperimentService } from "../src/gen/millrace/v1/experiment_service_pb.js";
import { ProgressService } from "../src/gen/millrace/v1/progress_service_pb.js";
import {
	CollectiveCaller,
	CollectiveScope,
	CollectiveOperation as Operation,
} from "../src/gen/millrace/v1/rendezvous_pb.js";
import { TrialService } from "../src/gen/millrace/v1/trial_service_pb.js";
import { attend, type RendezvousMember } from "../src/rendezvous/client.js";
import { Channel } from "../src/rpc/channel.js";
import { createRpcClient } from "../src/rpc/client.js";
import { startMillraceServer, startServer } from "./start-server.js";

const gathers = 10;
const payload = Buffer.alloc(100);

interface Times {
	readonly joinMs: number;
	/** The median. */
	readonly gatherMs: number;
	readonly leaveMs: number;
}

async function timeMs(work: () => Promise<unknown>): Promise<number> {
	const start = performance.now();
	await work();
	return performance.now() - start;
}

function median(values: readonly number[]): number {
	return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}

/** Repeats the gather, and returns the median of its times. */
async function medianMs(gather: () => Promise<unknown>): Promise<number> {
	const times: number[] = [];
	for (let i = 0; i < gathers; i++) {
		times.push(await timeMs(gather));
	}
	return median(times);
}

async function measureWorkers(address: string, worldSize: number): Promise<Times> {
	const channels = Array.from({ length: worldSize }, () => new Channel(address));
	const [channel] = channels as [Channel];
	const { experiment } = await createRpcClient(ExperimentService, channel).createExperiment({
		requestId: randomUUID(),
		config: { name: "bench" },
	});
	const { trial } = await createRpcClient(TrialService, channel).createTrial({
		requestId: randomUUID(),
		experimentId: experiment?.id ?? 0,
	});
	const trialId = trial?.id ?? 0;
	const memberUuid = randomUUID();
	const joinAs = async (rank: number, over: Channel): Promise<RendezvousMember> => {
		const uuid = rank === 0 ? memberUuid : randomUUID();
		const place = { rank, worldSize, localRank: rank, localWorldSize: worldSize };
		const attendance = await attend(over, { trialId, memberUuid: uuid, ...place, host: "bench", pid: rank });
		if (attendance.kind === "ended") {
			throw new Error("the run had ended");
		}
		return attendance.member;
	};
	let members: RendezvousMember[] = [];
	const joinMs = await timeMs(async () => {
		members = await Promise.all(channels.map((over, rank) => joinAs(rank, over)));
	});
	const all = (operation: Operation) => {
		const given = { scope: CollectiveScope.WORLD, caller: CollectiveCaller.RUNTIME, operation, payload };
		return Promise.all(members.map((member) => member.collective(given)));
	};
	const gatherMs = await medianMs(async () => {
		const [taken] = await all(Operation.GATHER);
		if (taken?.payloads.length !== worldSize) {
			throw new Error(`rank 0 got ${taken?.payloads.length} payloads of ${worldSize}`);
		}
	});
	await createRpcClient(ProgressService, channel).beginProgress({
		member: { trialId, trialRunId: 1, rank: 0, memberUuid },
		plan: { recordCount: 0n },
		options: { batchSize: 1, checkpointInterval: 1 },
	});
	const leaveMs = await timeMs(() => all(Operation.FINISH));
	for (const member of members) {
		member.close();
	}
	for (const over of channels) {
		over.close();
	}
	return { joinMs, gatherMs, leaveMs };
}

const identity = (bytes: Buffer) => bytes;

async function measureStreams(address: string, count: number): Promise<Times> {
	const options = { "grpc.use_local_subchannel_pool": 1 };
	const clients = Array.from({ length: count }, () => new GrpcClient(address, credentials.createInsecure(), options));
	let streams: ClientDuplexStream<Buffer, Buffer>[] = [];
	const there = (stream: ClientDuplexStream<Buffer, Buffer>) =>
		new Promise((resolve) => {
			stream.once("data", resolve);
			stream.write(payload);
		});
	const joinMs = await timeMs(() => {
		streams = clients.map((client) =>
			client.makeBidiStreamRequest("/bench.Echo/Echo", identity, identity, new Metadata()),
		);
		for (const stream of streams) {
			// That of its cancellation; a server that fails ends the process.
			stream.on("error", () => {});
		}
		return Promise.all(streams.map(there));
	});
	const gatherMs = await medianMs(() => Promise.all(streams.map(there)));
	const leaveMs = await timeMs(() => Promise.all(streams.map(there)));
	for (const stream of streams) {
		stream.cancel();
	}
	for (const client of clients) {
		client.close();
	}
	return { joinMs, gatherMs, leaveMs };
}

const sizes = process.argv.slice(2).map(Number);
const millrace = await startMillraceServer();
const echo = await startServer([fileURLToPath(new URL("echo-server.js", import.meta.url))]);

const row = (cells: readonly (string | number)[]) =>
	console.log(
		cells.map((cell) => String(typeof cell === "number" ? Number(cell.toPrecision(3)) : cell).padStart(11)).join(" "),
	);
row(["workers", "join ms", "bare ms", "ratio", "gather ms", "bare ms", "ratio", "finish ms"]);
try {
	for (const size of sizes.length > 0 ? sizes : [10, 100, 1000]) {
		const bare = await measureStreams(echo.address, size);
		const { joinMs, gatherMs, leaveMs } = await measureWorkers(millrace.address, size);
		const join = [joinMs, bare.joinMs, joinMs / bare.joinMs];
		row([size, ...join, gatherMs, bare.gatherMs, gatherMs / bare.gatherMs, leaveMs]);
	}
} finally {
	await echo.stop();
	await millrace.stop();
}
process.exit();
