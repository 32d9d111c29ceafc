import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MillraceError } from "../errors.js";
import { startEmbeddedServer } from "../sdk/embedded-server.js";

/** A server with a directory of its own. */
export interface TemporaryServer {
	/** The server's address as `host:port`. */
	readonly address: string;
	/** A directory that goes with the server. */
	readonly directory: string;
	/** Ends the server, and removes the directory. */
	stop(): Promise<void>;
}

/** A worker that a debugger holds is silent: nothing is lost by waiting for it. */
const leaseSeconds = 86_400;

/**
 * Starts a server, as a process, on a new temporary directory.
 *
 * Throws `failed_precondition` with the server's own words if it does not start.
 */
export async function startTemporaryServer(): Promise<TemporaryServer> {
	const directory = await mkdtemp(join(tmpdir(), "millrace-processor-"));
	const remove = () => rm(directory, { recursive: true, force: true, maxRetries: 5 });
	try {
		const started = await startEmbeddedServer(join(directory, "data"), { leaseSeconds });
		if ("failure" in started) {
			throw new MillraceError("failed_precondition", `the server of the test did not start: ${started.failure}`);
		}
		const { address } = started;
		const stop = async () => {
			await started.stop();
			await remove();
		};
		return { address, directory, stop };
	} catch (error) {
		await remove();
		throw error;
	}
}
