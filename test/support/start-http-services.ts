import { after } from "node:test";
import { type Gate, openGate } from "../../src/rpc/gate.js";
import { CallLimits } from "../../src/rpc/limits/call-limits.js";
import { type CallMemory, createCallMemory } from "../../src/rpc/limits/call-memory.js";
import { defaultLimits } from "../../src/rpc/limits/limits.js";
import { ConnectServices } from "../../src/server/http/connect-services.js";
import { HttpServer, type HttpServerOptions } from "../../src/server/http/http-server.js";

/** Services over HTTP without a database behind them. */
export interface TestHttpServices {
	/** The server's URL. */
	readonly address: string;
	readonly port: number;
	/** What its calls hold. */
	readonly memory: CallMemory;
	/** What went wrong inside. */
	readonly logged: readonly { readonly message: string; readonly error: unknown }[];
	/** Stops it. */
	close(graceMs?: number): Promise<void>;
}

/** Serves the services that `add` adds by HTTP, and stops after the test that it is called in. */
export async function startHttpServices(
	add: (services: ConnectServices) => void,
	options: { readonly gate?: Gate; readonly limits?: CallLimits; readonly waits?: HttpServerOptions["waits"] } = {},
): Promise<TestHttpServices> {
	const { gate = openGate, limits = new CallLimits(defaultLimits), waits } = options;
	const logged: { message: string; error: unknown }[] = [];
	const log = (message: string, error: unknown) => void logged.push({ message, error });
	const http = new HttpServer({ log, onlyLocalNames: () => true, ...(waits === undefined ? {} : { waits }) });
	after(() => http.close(0));
	const memory = createCallMemory();
	add(new ConnectServices(http, { gate, limits, memory, log }));
	const port = await http.listen("127.0.0.1", 0);
	return { address: `http://127.0.0.1:${port}`, port, memory, logged, close: (graceMs) => http.close(graceMs) };
}
