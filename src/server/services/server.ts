import type { GetServerInfoResponse, ServerService } from "../../gen/millrace/v1/server_service_pb.js";
import type { ServiceHandlers } from "../../rpc/handler.js";

/** Tells about the server itself. */
export function createServerService(info: GetServerInfoResponse): ServiceHandlers<typeof ServerService> {
	return { getServerInfo: async () => info };
}
