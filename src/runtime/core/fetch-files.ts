import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MillraceError } from "../../errors.js";
import { CheckpointState } from "../../gen/millrace/v1/checkpoint_pb.js";
import type { Storage } from "../../gen/millrace/v1/storage_pb.js";
import type { Connection } from "../../sdk/connection.js";
import { downloadFiles } from "../../sdk/download-files.js";
import { fromStoredFile, type ManifestEntry } from "../../storage/manifest.js";
import type { Party } from "./party.js";

/** Whether the workers of a node share what is downloaded. */
export type DownloadMode = "LocalWorkersShareDownload" | "NoSharedDownload";

/**
 * Copies the files of a checkpoint that any of the party selects to the directory that `choose` returns on the first of
 * them, and returns it on all.
 */
export async function fetchFiles(
	connection: Connection,
	party: Party,
	uuid: string,
	selector: (path: string) => boolean,
	choose: () => Promise<string>,
): Promise<string> {
	let found: { readonly files: readonly ManifestEntry[]; readonly storage: Storage | undefined } | undefined;
	const choices = await party.all(`choosing files of checkpoint ${uuid}`, async () => {
		const { checkpoint } = await connection.checkpoints.getCheckpoint({ checkpointUuid: uuid });
		const files = checkpoint?.files.map(fromStoredFile) ?? [];
		if (files.length === 0) {
			const state = CheckpointState[checkpoint?.state ?? 0];
			throw new MillraceError("failed_precondition", `checkpoint ${uuid} is ${state} and has no files`);
		}
		found = { files, storage: checkpoint?.storage };
		return files.map(({ path }) => path).filter((path) => selector(path));
	});
	const wanted = new Set(choices.flat());
	return party.first(`downloading checkpoint ${uuid}`, async () => {
		const target = await choose();
		const chosen = found?.files.filter(({ path }) => wanted.has(path)) ?? [];
		await downloadFiles(connection, { uuid, storage: found?.storage, files: chosen }, target);
		return target;
	});
}

/** Gives `read` a directory with these files, which is there until all of the party have read, and returns its result. */
export async function withFiles<R>(
	connection: Connection,
	party: Party,
	uuid: string,
	selector: (path: string) => boolean,
	read: (path: string) => R | Promise<R>,
): Promise<R> {
	let made: string | undefined;
	const make = async () => {
		made = await mkdtemp(join(tmpdir(), "millrace-checkpoint-"));
		return made;
	};
	try {
		const path = await fetchFiles(connection, party, uuid, selector, make);
		try {
			return await read(path);
		} finally {
			await party.all(`reading checkpoint ${uuid}`, () => null);
		}
	} finally {
		if (made !== undefined) {
			// What stays is in the directory that the system clears.
			await rm(made, { recursive: true, force: true }).catch(() => {});
		}
	}
}
