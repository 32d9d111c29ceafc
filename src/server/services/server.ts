import { create } from "@bufbuild/protobuf";
import {
	type GetServerInfoResponse,
	GetServerInfoResponseSchema,
	type ServerService,
} from "../../gen/millrace/v1/server_service_pb.js";
import type { ServiceHandlers } from "../../rpc/handler.js";
import { hostOf } from "../../rpc/host-of.js";
import type { Sessions } from "../auth/sessions.js";
import { isLoopback } from "../loopback.js";

/** Tells about the server itself. */
export function createServerService(
	info: Omit<GetServerInfoResponse, "$typeName" | "$unknown" | "hasAccounts">,
	sessions: Pick<Sessions, "hasAccounts">,
): ServiceHandlers<typeof ServerService> {
	return {
		async getServerInfo(_request, { caller, peer }) {
			const { hasAccounts } = sessions;
			const { version, clusterId } = info;
			const isStranger = caller.kind === "anonymous" && !isLoopback(hostOf(peer));
			return create(
				GetServerInfoResponseSchema,
				isStranger ? { version, clusterId, hasAccounts } : { ...info, hasAccounts },
			);
		},
	};
}
