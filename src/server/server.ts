import { existsSync, mkdirSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import type { DescService } from "@bufbuild/protobuf";
import { dataDirectory, removeServerAddress, writeServerAddress } from "../data-directory.js";
import { MillraceError } from "../errors.js";
import { AuthService } from "../gen/millrace/v1/auth_service_pb.js";
import { CheckpointService } from "../gen/millrace/v1/checkpoint_service_pb.js";
import { ExperimentService } from "../gen/millrace/v1/experiment_service_pb.js";
import { LogService } from "../gen/millrace/v1/log_service_pb.js";
import { MetricService } from "../gen/millrace/v1/metric_service_pb.js";
import { ModelService } from "../gen/millrace/v1/model_service_pb.js";
import { ProgressService } from "../gen/millrace/v1/progress_service_pb.js";
import { RendezvousService } from "../gen/millrace/v1/rendezvous_service_pb.js";
import { ServerService } from "../gen/millrace/v1/server_service_pb.js";
import { TrialService } from "../gen/millrace/v1/trial_service_pb.js";
import { createRendezvousService, type Rendezvous } from "../rendezvous/service.js";
import type { ServiceHandlers } from "../rpc/handler.js";
import { hostOf } from "../rpc/host-of.js";
import { CallLimits } from "../rpc/limits/call-limits.js";
import { createCallMemory } from "../rpc/limits/call-memory.js";
import { LimitGate } from "../rpc/limits/limit-gate.js";
import { type Limits, limitsOf } from "../rpc/limits/limits.js";
import { assertPortFree } from "../rpc/listen-on.js";
import { portAdvice, RpcServer } from "../rpc/server.js";
import type { ErrorLog } from "../rpc/status.js";
import { version } from "../version.js";
import { AccountGate } from "./auth/account-gate.js";
import { Sessions } from "./auth/sessions.js";
import { CheckpointFiles } from "./checkpoint-files.js";
import { clusterId } from "./db/cluster.js";
import { Database } from "./db/database.js";
import { keepAnswersFew } from "./db/first-answers.js";
import { fullDisk } from "./db/full-disk.js";
import { type EmbeddedWait, lockDirectory } from "./db/lock.js";
import { migrate } from "./db/migrate.js";
import { createRunLedger } from "./db/run-ledger.js";
import { closeForgottenRuns } from "./forgotten-runs.js";
import { ConnectServices } from "./http/connect-services.js";
import { HttpServer, httpPortAdvice } from "./http/http-server.js";
import { logToStandardError } from "./log.js";
import { assertSafeHost, isLoopback, localAddress } from "./loopback.js";
import { OutputRemovals } from "./output-removals.js";
import { RunOwners } from "./run-owners.js";
import { expiryOf, nameBesides, readServerTls, type ServerTlsFiles } from "./server-certificate.js";
import { createAuthService } from "./services/auth.js";
import { createCheckpointService } from "./services/checkpoint.js";
import { createExperimentService } from "./services/experiment.js";
import { createLogService } from "./services/log.js";
import { createMetricService } from "./services/metric.js";
import { createModelService } from "./services/model.js";
import { createProgressService } from "./services/progress.js";
import { createServerService } from "./services/server.js";
import type { ServiceContext } from "./services/service-context.js";
import { createTrialService } from "./services/trial.js";
import { directoryStorageAt } from "./storage-config.js";

/** How to start a server. */
export interface ServerOptions {
	/** The directory of everything that it remembers. Default: MILLRACE_DATA, else `.millrace` in the working directory. */
	readonly dataDirectory?: string | undefined;
	/** The address to bind. Default "127.0.0.1". */
	readonly host?: string | undefined;
	/** The port; 0 takes a free one. Default 8090. */
	readonly port?: number | undefined;
	/** The port of the same services as JSON over HTTP; 0 takes a free one. Default: none, and no HTTP. */
	readonly httpPort?: number | undefined;
	/** Permits a host that other machines can reach though there are no accounts. Default false. */
	readonly insecure?: boolean | undefined;
	/**
	 * How long a worker is kept that is silent though its connection is open: frozen, or cut off. In milliseconds, from
	 * 100 to 86,400,000 (a day). Default 15,000.
	 */
	readonly leaseMs?: number | undefined;
	/** What it takes from its callers. Default: as much as each says. */
	readonly limits?: Partial<Limits> | undefined;
	/** The certificate of a server that speaks TLS, as PEM files. Default: it speaks plain text. */
	readonly tls?: ServerTlsFiles | undefined;
	/** Receives what goes wrong inside. Default: standard error. */
	readonly log?: ErrorLog | undefined;
	/** @internal Whether it is closed when nobody is connected, which it tells to those who want its directory. */
	readonly embedded?: boolean | undefined;
	/** @internal How to wait for an embedded server to leave the directory. Default: not at all. */
	readonly embeddedWait?: EmbeddedWait | undefined;
}

/** A server that serves. */
export interface RunningServer {
	/** Where this machine reaches it, as `host:port`. */
	readonly address: string;
	/** The URL at which this machine reaches it by HTTP, such as `http://127.0.0.1:8080`; undefined if it serves no HTTP. */
	readonly httpAddress: string | undefined;
	/** The data directory, as an absolute path. */
	readonly dataDirectory: string;
	/** The number of open connections. */
	readonly connectionCount: number;
	/** Calls `listener` with the number of open connections whenever it changes. */
	onConnectionCount(listener: (count: number) => void): void;
	/** Stops: calls in flight end, and the data directory is free for another server. */
	close(): Promise<void>;
}

/**
 * Starts the server of a data directory.
 *
 * Throws `already_exists` if the directory has a server or a port is in use, `invalid_argument` if the
 * host may not or cannot be bound, a limit is not one or a file of `tls` is no good, `failed_precondition` if the
 * package sqlite3 is missing, the directory cannot be made or written or is on a network file system, or its database is
 * newer than this program, `unavailable` if its disk is full.
 *
 * @example
 * ```ts
 * import { Client } from "millrace";
 * import { startServer } from "millrace/server";
 *
 * const server = await startServer({ port: 0, dataDirectory: "data" });
 * const client = new Client({ server: server.address });
 * console.log(await client.listModels());
 * await client.close();
 * await server.close();
 * ```
 */
export async function startServer(options: ServerOptions = {}): Promise<RunningServer> {
	const { host = "127.0.0.1", port = 8090, httpPort, insecure = false, embedded = false } = options;
	const { log = logToStandardError } = options;
	assertLease(options.leaseMs);
	const given = limitsOf(options.limits);
	const tls = options.tls && readServerTls(options.tls);
	const directory = dataDirectory(options.dataDirectory);
	if (!existsSync(directory)) {
		assertSafeHost(host, directory, insecure);
		await assertPortsFree(host, port, httpPort);
	}
	const undo: (() => unknown)[] = [];
	const release = async () => {
		for (const step of undo.splice(0).reverse()) {
			await step();
		}
	};
	try {
		const lock = await lockDirectory(directory, options.embeddedWait);
		undo.push(() => lock.release());
		// Before the lock is released, or it would be the next server's address.
		undo.push(() => removeServerAddress(directory));
		// One that was killed left its own.
		removeServerAddress(directory);
		const db = await Database.open(directory, {
			onFullDisk: (message) => log("nothing can be written, and callers wait", message),
		});
		undo.push(() => db.close());
		await migrate(db);
		undo.push(keepAnswersFew(db, (error) => log("old answers are kept", error)));
		const sessions = await Sessions.open(db);
		undo.push(() => sessions.close());
		if (!sessions.hasAccounts) {
			assertSafeHost(host, directory, insecure);
		}
		const limits = new CallLimits(given);
		const gate = new LimitGate(new AccountGate(db, sessions, log), limits);
		const memory = createCallMemory();
		const rpc = new RpcServer(log, gate, { tls, limits, memory, maxConnections: given.maxConnections });
		const doors: Door[] = [rpc];
		let http: HttpServer | undefined;
		if (httpPort !== undefined) {
			http = new HttpServer({ log, tls, onlyLocalNames: () => isLoopback(host) && !sessions.hasAccounts });
			doors.push(new ConnectServices(http, { gate, limits, memory, log }));
		}
		const id = await clusterId(db);
		const parts = { db, clusterId: id, directory, log, leaseMs: options.leaseMs, sessions };
		const { rendezvous, context } = await addServices(doors, parts);
		undo.push(
			() => context.checkpointFiles.close(),
			() => context.outputRemovals.close(),
			closeForgottenRuns(context, (error) => log("a run that nobody attends to stays open", error)),
			() => Promise.all([rpc.close(), http?.close()]),
			() => rendezvous.close(),
			// First, as calls that follow would keep the others waiting for their end.
			() => db.news.close(),
		);
		let connectionCount = 0;
		let onConnectionCount: (count: number) => void = () => {};
		rpc.onConnectionCount((count) => {
			connectionCount = count;
			onConnectionCount(count);
		});
		const address = localAddress(host, await rpc.listen(host, port));
		const httpAt = http && localAddress(host, await http.listen(host, httpPort ?? 0));
		const httpAddress = httpAt && `${tls === undefined ? "http" : "https"}://${httpAt}`;
		writeServerAddress(directory, {
			...{ address, httpAddress, pid: process.pid, host: hostname(), version, clusterId: id, embedded },
			...(tls && { tls: { serverName: nameBesides(hostOf(address), tls) } }),
		});
		const expired = tls && expiryOf(tls);
		if (expired !== undefined) {
			log(
				"clients refuse the certificate of this server",
				`it expired on ${expired}; renew it, and start the server again`,
			);
		}
		let closed: Promise<void> | undefined;
		return {
			address,
			httpAddress,
			dataDirectory: directory,
			get connectionCount() {
				return connectionCount;
			},
			onConnectionCount(listener) {
				onConnectionCount = listener;
			},
			close() {
				closed ??= release();
				return closed;
			},
		};
	} catch (error) {
		await release();
		throw fullDisk(error, directory) ?? error;
	}
}

/** Throws what listening on the ports would throw, so that a server that cannot serve makes no data directory. */
async function assertPortsFree(host: string, port: number, httpPort: number | undefined): Promise<void> {
	await assertPortFree(host, port, portAdvice);
	if (httpPort !== undefined) {
		await assertPortFree(host, httpPort, httpPortAdvice);
	}
}

function assertLease(leaseMs: number | undefined): void {
	if (leaseMs !== undefined && !(Number.isInteger(leaseMs) && leaseMs >= 100 && leaseMs <= 86_400_000)) {
		const range = "a whole number of milliseconds from 100 to 86,400,000";
		throw new MillraceError("invalid_argument", `leaseMs is ${leaseMs}; it must be ${range}`);
	}
}

/** What callers come in by: the services are the same behind each. */
interface Door {
	add<S extends DescService>(service: S, handlers: ServiceHandlers<S>): void;
}

/** What the services are made of. */
interface ServiceParts {
	readonly db: Database;
	readonly clusterId: string;
	readonly directory: string;
	readonly log: ErrorLog;
	readonly leaseMs: number | undefined;
	readonly sessions: Sessions;
}

async function addServices(
	doors: readonly Door[],
	{ db, clusterId, directory, log, leaseMs, sessions }: ServiceParts,
): Promise<{ rendezvous: Rendezvous; context: ServiceContext }> {
	const storagePath = join(directory, "storage");
	mkdirSync(storagePath, { recursive: true });
	const defaultStorage = directoryStorageAt(storagePath);
	const rendezvous = createRendezvousService({ ledger: createRunLedger(db), log, leaseMs });
	const owners = new RunOwners({ db, leaseMs: rendezvous.leaseMs, rendezvous });
	const checkpointFiles = new CheckpointFiles(db, log);
	const outputRemovals = new OutputRemovals(db, log);
	const { runClosed, activityOf: runActivity } = rendezvous;
	const files = { defaultStorage, checkpointFiles, outputRemovals };
	const context: ServiceContext = { db, ...files, owners, runActivity, runClosed };
	const info = { version, clusterId, dataDirectory: directory, defaultStorage };
	const add: Door["add"] = (service, handlers) => {
		for (const door of doors) {
			door.add(service, handlers);
		}
	};
	add(ExperimentService, createExperimentService(context));
	add(TrialService, createTrialService(context));
	add(CheckpointService, createCheckpointService(context));
	add(ModelService, createModelService(context));
	add(MetricService, createMetricService(context));
	add(LogService, createLogService(context));
	add(ProgressService, createProgressService(context));
	add(RendezvousService, rendezvous.handlers);
	add(ServerService, createServerService(info, sessions));
	add(AuthService, createAuthService({ db, sessions }));
	return { rendezvous, context };
}
