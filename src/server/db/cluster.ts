import { randomUUID } from "node:crypto";
import type { Database } from "./database.js";

/** Returns the UUID of the data directory, which is made when it is asked for first. */
export function clusterId(db: Database): Promise<string> {
	return db.write(async (tx) => {
		await tx.run("INSERT INTO meta (id, cluster_id) VALUES (1, ?) ON CONFLICT DO NOTHING", randomUUID());
		const row = await tx.get<{ cluster_id: string }>("SELECT cluster_id FROM meta");
		return row?.cluster_id ?? "";
	});
}
