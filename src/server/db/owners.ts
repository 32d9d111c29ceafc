import type { Reader } from "./database.js";

/** Returns the name of the user who made an experiment; undefined if there is none with this id. */
export async function ownerOfExperiment(db: Reader, experimentId: number): Promise<string | undefined> {
	const row = await db.get<{ username: string }>("SELECT username FROM experiments WHERE id = ?", experimentId);
	return row?.username;
}

/** Returns the name of the user who made a model, which is given by name or by id in digits; undefined if there is none. */
export async function ownerOfModel(db: Reader, nameOrId: string): Promise<string | undefined> {
	const row = /^\d+$/.test(nameOrId)
		? await db.get<{ username: string }>("SELECT username FROM models WHERE id = ?", Number(nameOrId))
		: await db.get<{ username: string }>("SELECT username FROM models WHERE name = ?", nameOrId);
	return row?.username;
}

/** Returns the trials that wrote some checkpoints; 0 stands for one that no trial wrote, or that is not there. */
export async function trialsOfCheckpoints(db: Reader, uuids: readonly string[]): Promise<number[]> {
	const rows = await db.all<{ trial_id: number }>(
		`SELECT ifnull(checkpoints.trial_id, 0) AS trial_id FROM json_each(?) AS wanted
		LEFT JOIN checkpoints ON checkpoints.uuid = wanted.value`,
		JSON.stringify(uuids.map((uuid) => uuid.toLowerCase())),
	);
	return rows.map((row) => row.trial_id);
}
