import { MillraceError } from "../errors.js";
import { AuthService } from "../gen/millrace/v1/auth_service_pb.js";
import { CheckpointService } from "../gen/millrace/v1/checkpoint_service_pb.js";
import { ExperimentService } from "../gen/millrace/v1/experiment_service_pb.js";
import { LogService } from "../gen/millrace/v1/log_service_pb.js";
import { MetricService } from "../gen/millrace/v1/metric_service_pb.js";
import { ModelService } from "../gen/millrace/v1/model_service_pb.js";
import { ProgressService } from "../gen/millrace/v1/progress_service_pb.js";
import { ServerService } from "../gen/millrace/v1/server_service_pb.js";
import { TrialService } from "../gen/millrace/v1/trial_service_pb.js";
import { Channel, type ChannelSettings } from "../rpc/channel.js";
import { createRpcClient, type RpcClient } from "../rpc/client.js";

/** An open connection to one server: a client for each of its services. */
export interface Connection {
	/** The server's address as `host:port`. */
	readonly address: string;
	/** What the clients call through. */
	readonly channel: Channel;
	readonly auth: RpcClient<typeof AuthService>;
	readonly checkpoints: RpcClient<typeof CheckpointService>;
	readonly experiments: RpcClient<typeof ExperimentService>;
	readonly logs: RpcClient<typeof LogService>;
	readonly metrics: RpcClient<typeof MetricService>;
	readonly models: RpcClient<typeof ModelService>;
	readonly progress: RpcClient<typeof ProgressService>;
	readonly server: RpcClient<typeof ServerService>;
	readonly trials: RpcClient<typeof TrialService>;
	/** Ends the connection; calls in flight fail with `cancelled`. */
	close(): void;
}

/**
 * Makes a connection to a server. Nothing is sent before the first call.
 *
 * @param name How an error calls the address.
 *
 * Throws `invalid_argument` if the address is not `host:port`.
 */
export function openConnection(address: string, settings: ChannelSettings = {}, name = "the server"): Connection {
	if (!isAddress(address)) {
		throw new MillraceError(
			"invalid_argument",
			`${name} ${JSON.stringify(address)} is not an address; write host:port, such as 127.0.0.1:8090`,
		);
	}
	const channel = new Channel(address, settings);
	return {
		address,
		channel,
		auth: createRpcClient(AuthService, channel),
		checkpoints: createRpcClient(CheckpointService, channel),
		experiments: createRpcClient(ExperimentService, channel),
		logs: createRpcClient(LogService, channel),
		metrics: createRpcClient(MetricService, channel),
		models: createRpcClient(ModelService, channel),
		progress: createRpcClient(ProgressService, channel),
		server: createRpcClient(ServerService, channel),
		trials: createRpcClient(TrialService, channel),
		close: () => channel.close(),
	};
}

function isAddress(address: string): boolean {
	const port = Number(/^(?:\[[0-9a-fA-F:.]+\]|[^\s:/[\]]+):(\d{1,5})$/.exec(address)?.[1]);
	return port >= 1 && port <= 65_535;
}
