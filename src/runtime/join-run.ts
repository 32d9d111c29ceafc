import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { basename } from "node:path";
import { create } from "@bufbuild/protobuf";
import { MillraceError } from "../errors.js";
import { type Member, MemberSchema, type Trial, TrialRunState } from "../gen/millrace/v1/trial_pb.js";
import type { RendezvousMember } from "../rendezvous/client.js";
import { connect } from "../sdk/connect.js";
import type { Connection } from "../sdk/connection.js";
import { type JsonObject, toJsonObject } from "../sdk/json.js";
import type { TlsOptions } from "../sdk/tls-options.js";
import { attendRun } from "./attend-run.js";
import type { DistributedContext } from "./distributed/distributed-context.js";
import { ownProcess, type WorkerProcess } from "./worker-process.js";

/** This worker as a member of a run in which all workers are there. */
export interface JoinedRun {
	readonly kind: "joined";
	readonly connection: Connection;
	readonly rendezvous: RendezvousMember;
	/** What every write carries. */
	readonly member: Member;
	readonly trial: Trial;
	/** The experiment's configuration. */
	readonly config: JsonObject;
	/** The process that the worker is in. */
	readonly process: WorkerProcess;
}

/** A trial whose work was done before. */
export interface FinishedTrial {
	readonly kind: "finished";
	readonly trialId: number;
	readonly trialRunId: number;
}

/** How a worker joins. */
export interface JoinOptions {
	readonly distributed: DistributedContext;
	readonly server: string | undefined;
	readonly tls?: boolean | TlsOptions | undefined;
	/** Hyperparameters, and more of an experiment's configuration, where this call makes the trial. */
	readonly hparams: JsonObject;
	readonly config?: JsonObject | undefined;
	readonly stepTimeoutMs?: number | undefined;
}

/**
 * Finds the server and the trial, joins the trial's run, and waits until all workers are there. A single
 * worker without a trial makes one.
 *
 * Throws `failed_precondition` if several workers have no trial, and what `attend` throws.
 */
export async function joinRun(
	options: JoinOptions,
	workerProcess: WorkerProcess = ownProcess(),
): Promise<JoinedRun | FinishedTrial> {
	const { distributed } = options;
	const { named } = workerProcess;
	if (named === undefined && distributed.size > 1) {
		throw new MillraceError(
			"failed_precondition",
			`there are ${distributed.size} workers but no trial that brings them together:` +
				" start them with `millrace run CONFIG.yaml`, or set MILLRACE_TRIAL_ID to the id of a trial",
		);
	}
	const holder = workerProcess.holdMember();
	let connection: Connection | undefined;
	try {
		connection = await connect({ server: options.server, tls: options.tls });
		const trialId = named?.trialId ?? (await createOwnTrial(connection, options));
		const join = {
			trialId,
			trialRunId: named?.trialRunId ?? 0,
			memberUuid: randomUUID(),
			rank: distributed.rank,
			worldSize: distributed.size,
			localRank: distributed.localRank,
			localWorldSize: distributed.localSize,
			nodeRank: distributed.crossRank,
			host: hostname(),
			pid: process.pid,
		};
		const attendance = await attendRun(holder, connection.channel, join, options);
		if (attendance.kind === "ended") {
			return finishedTrial(connection, trialId, attendance.ended);
		}
		const rendezvous = attendance.member;
		distributed.bind(rendezvous);
		const { memberUuid, rank } = join;
		const member = create(MemberSchema, { trialId, trialRunId: rendezvous.trialRunId, rank, memberUuid });
		const { trial } = await connection.trials.getTrial({ trialId });
		const { experiment } = await connection.experiments.getExperiment({ experimentId: trial?.experimentId ?? 0 });
		if (trial === undefined || experiment === undefined) {
			throw new MillraceError("internal", `the server at ${connection.address} sent trial ${trialId} without its data`);
		}
		const config = (experiment.config ?? {}) as JsonObject;
		return { kind: "joined", connection, rendezvous, member, trial, config, process: workerProcess };
	} catch (error) {
		holder.close();
		connection?.close();
		throw error;
	}
}

function finishedTrial(
	connection: Connection,
	trialId: number,
	ended: { state: TrialRunState; reason: string; trialRunId: number },
): FinishedTrial {
	connection.close();
	if (ended.state !== TrialRunState.COMPLETED) {
		const verdict = TrialRunState[ended.state]?.toLowerCase();
		throw new MillraceError("aborted", `run ${ended.trialRunId} of trial ${trialId} is ${verdict}: ${ended.reason}`);
	}
	return { kind: "finished", trialId, trialRunId: ended.trialRunId };
}

async function createOwnTrial(connection: Connection, options: JoinOptions): Promise<number> {
	const script = basename(process.argv[1] ?? "script");
	const hparams = toJsonObject(options.hparams, "hparams");
	const given = toJsonObject(options.config ?? {}, "config");
	const config = { name: script, entrypoint: script, max_restarts: 0, ...given, hyperparameters: hparams };
	const { experiment } = await connection.experiments.createExperiment({ requestId: randomUUID(), config });
	const experimentId = experiment?.id ?? 0;
	const { trial } = await connection.trials.createTrial({ requestId: randomUUID(), experimentId, hparams });
	return trial?.id ?? 0;
}
