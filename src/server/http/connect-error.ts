import { ConnectError } from "@connectrpc/connect";

/** Returns what Connect's library has to be thrown, or it would send "internal error". Its codes have gRPC's numbers. */
export function connectError(grpcStatus: number, message: string): ConnectError {
	return new ConnectError(message, grpcStatus);
}
