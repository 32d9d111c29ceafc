import { createServer, type Server as NetServer } from "node:net";
import type { DescFile, DescMethod, DescService } from "@bufbuild/protobuf";
import { toBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { type ConnectionInjector, Server as GrpcServer, ServerCredentials, type ServerOptions } from "@grpc/grpc-js";
import { ReflectionService } from "@grpc/reflection";
import { HealthImplementation, service as healthService } from "grpc-health-check";
import { unaryDeadlineMs } from "./admitted-call.js";
import { maxMessageBytes } from "./channel.js";
import { grpcDefinition, methodPath } from "./definition.js";
import { type Gate, openGate } from "./gate.js";
import { type CallHost, grpcImplementation, type ServiceHandlers } from "./handler.js";
import { incomingCalls } from "./incoming-call.js";
import { IncomingConnections } from "./incoming-connections.js";
import { CallLimits } from "./limits/call-limits.js";
import { type CallMemory, createCallMemory } from "./limits/call-memory.js";
import { defaultLimits } from "./limits/limits.js";
import { listenOn } from "./listen-on.js";
import type { ServerTls } from "./server-tls.js";
import type { ErrorLog } from "./status.js";

/** How an RpcServer meets its callers. */
export interface RpcServerOptions {
	/** The certificate, if it speaks TLS. Default: it speaks plain text. */
	readonly tls?: ServerTls | undefined;
	/** How long a caller may take to speak HTTP/2, in milliseconds, before the connection is cut. Default 10,000. */
	readonly greetingMs?: number;
	/** How long a request may take to come whole, in milliseconds. Default 300,000. */
	readonly requestMs?: number;
	/** The connections that it takes at a time. Default: the usual limit. */
	readonly maxConnections?: number;
	/** Counts calls. Default: up to the usual limits. */
	readonly limits?: CallLimits;
	/** What calls hold, which is shared with other doors. Default: its own. */
	readonly memory?: CallMemory;
}

/** A gRPC server with health and reflection. Services are added before `listen`. */
export class RpcServer {
	readonly #host: CallHost;
	readonly #methods = new Map<string, DescMethod>();
	readonly #grpc: GrpcServer;
	readonly #health = new HealthImplementation({ "": "NOT_SERVING" });
	readonly #services: DescService[] = [];
	readonly #connections: IncomingConnections;
	#listener: NetServer | undefined;
	#injector: ConnectionInjector | undefined;
	#onConnectionCount: (count: number) => void = () => {};

	/** @param gate Lets calls in, but those of health and reflection, which everyone may make. */
	constructor(log: ErrorLog, gate: Gate = openGate, options: RpcServerOptions = {}) {
		const { tls, greetingMs = 10_000, maxConnections = defaultLimits.maxConnections } = options;
		const { limits = new CallLimits(defaultLimits), memory = createCallMemory() } = options;
		this.#host = { log, gate, limits, memory };
		this.#connections = new IncomingConnections({
			...{ tls, greetingMs, maxConnections },
			onReady: (connection) => this.#injector?.injectConnection(connection),
			onCount: (count) => this.#onConnectionCount(count),
		});
		const { requestMs = unaryDeadlineMs } = options;
		const methodOf = (path: string) => this.#methods.get(path);
		this.#grpc = new GrpcServer({
			...grpcOptions,
			"grpc.max_concurrent_streams": limits.maxCallsPerConnection,
			interceptors: [incomingCalls({ host: this.#host, connections: this.#connections, requestMs, methodOf })],
		});
	}

	/** Adds a service. */
	add<S extends DescService>(service: S, handlers: ServiceHandlers<S>): void {
		this.#services.push(service);
		for (const method of service.methods) {
			this.#methods.set(methodPath(method), method);
		}
		this.#grpc.addService(grpcDefinition(service), grpcImplementation(service, handlers, this.#host));
	}

	/** Calls `listener` with the number of open connections, now and whenever it changes. */
	onConnectionCount(listener: (count: number) => void): void {
		this.#onConnectionCount = listener;
		listener(this.#connections.count);
	}

	/**
	 * Accepts connections, and returns the port. Port 0 takes a free one.
	 *
	 * Throws `already_exists` if the port is in use, `invalid_argument` if the host is not one of this machine.
	 */
	async listen(host: string, port: number): Promise<number> {
		this.#health.addToServer(this.#grpc);
		reflectionOf(this.#services).addToServer(this.#grpc);
		// Connections are accepted here and handed to grpc-js, which would report neither their number nor
		// why it could not bind. TLS is taken off before.
		this.#injector = this.#grpc.createConnectionInjector(ServerCredentials.createInsecure());
		this.#listener = createServer((socket) => this.#connections.accept(socket));
		const bound = await listenOn(this.#listener, host, port, portAdvice);
		this.#setHealth("SERVING");
		return bound;
	}

	/**
	 * Stops: health says NOT_SERVING, no new connection is accepted, calls in flight have `graceMs` to end,
	 * the rest is cut.
	 */
	async close(graceMs = 5_000): Promise<void> {
		this.#setHealth("NOT_SERVING");
		const listener = this.#listener;
		if (listener === undefined) {
			return;
		}
		const closed = new Promise<void>((resolve) => listener.close(() => resolve()));
		// Not drain, which cancels what is left: callers could not tell that from their own doing, and repeat nothing.
		this.#injector?.destroy();
		this.#connections.cutSilent();
		const force = setTimeout(() => this.#connections.cutAll(), graceMs);
		await closed;
		clearTimeout(force);
		this.#grpc.forceShutdown();
	}

	#setHealth(status: "SERVING" | "NOT_SERVING"): void {
		this.#health.setStatus("", status);
		for (const service of this.#services) {
			this.#health.setStatus(service.typeName, status);
		}
	}
}

/** What to do when the port is in use. */
export const portAdvice = "choose another with --port";

const grpcOptions: ServerOptions = {
	"grpc.max_send_message_length": maxMessageBytes,
	"grpc.max_receive_message_length": maxMessageBytes,
	// Pings of callers are answered by the transport, which ends a connection that is flooded by them. A machine that
	// vanished would count as connected for hours.
	"grpc.keepalive_permit_without_calls": 1,
	"grpc.keepalive_time_ms": 60_000,
	"grpc.keepalive_timeout_ms": 20_000,
};

function reflectionOf(services: readonly DescService[]): ReflectionService {
	const files = new Map<string, DescFile>();
	const collect = (file: DescFile): void => {
		if (!files.has(file.name)) {
			files.set(file.name, file);
			file.dependencies.forEach(collect);
		}
	};
	for (const service of services) {
		collect(service.file);
	}
	const ofHealth = Object.values(healthService)[0]?.requestType.fileDescriptorProtos ?? [];
	const ofServices = [...files.values()].map((file) => Buffer.from(toBinary(FileDescriptorProtoSchema, file.proto)));
	const fileDescriptorProtos = [...ofServices, ...ofHealth];
	// The library reads nothing else of a package definition than the files' descriptors.
	return new ReflectionService({
		files: { format: "Protocol Buffer 3 DescriptorProto", type: {}, fileDescriptorProtos },
	});
}
