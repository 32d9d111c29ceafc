import type { Transaction } from "../../src/server/db/database.js";

/** Writes the rows of an experiment and a trial, both 1, into a database of any version from 1 on. */
export async function insertTrial(tx: Transaction): Promise<void> {
	await tx.run(
		`INSERT INTO experiments (name, description, labels, config, storage, create_time)
		VALUES ('e', '', '[]', '{}', '{}', 1)`,
	);
	await tx.run(
		`INSERT INTO trials (experiment_id, hparams, max_restarts, storage, output_uuid, create_time)
		VALUES (1, '{}', 0, '{}', 'u', 1)`,
	);
}
