import type { LogService } from "../../gen/millrace/v1/log_service_pb.js";
import type { ServiceHandlers } from "../../rpc/handler.js";
import type { ServiceContext } from "./service-context.js";
import { unimplemented } from "./unimplemented.js";

/** Keeps what the workers of trials print. */
export function createLogService(_context: ServiceContext): ServiceHandlers<typeof LogService> {
	return { writeLogs: unimplemented, streamTrialLogs: unimplemented };
}
