import type { Connection } from "./connection.js";
import type { Experiment } from "./experiment.js";
import type { Pending } from "./pending.js";

/** What the objects of one client share: its connection, and the way from one to another. */
export interface Session {
	/** Returns the connection, which is opened at the first use. */
	connection(): Promise<Connection>;
	/** As `Client.getExperiment`. */
	getExperiment(id: number): Pending<Experiment>;
}
