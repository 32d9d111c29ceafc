import { MillraceError } from "../../errors.js";
import type { StoredFile } from "../../gen/millrace/v1/storage_pb.js";
import { partsDirectory } from "../../storage/part-file.js";
import { notePaths } from "./checkpoint-removals.js";
import type { CheckpointRow } from "./checkpoints.js";
import type { Reader, Transaction } from "./database.js";

interface UploadRow {
	readonly path: string;
	readonly size_bytes: number;
	readonly sha256: string;
	readonly complete: number;
}

/** How far a file is that comes over the wire: unknown, begun, or whole and verified. */
export async function uploadState(
	db: Reader,
	checkpointId: number,
	file: StoredFile,
): Promise<"unknown" | "begun" | "whole"> {
	const row = await db.get<UploadRow>(
		"SELECT path, size_bytes, sha256, complete FROM checkpoint_uploads WHERE checkpoint_id = ? AND path = ?",
		checkpointId,
		file.path,
	);
	if (row === undefined || !isSame(row, file)) {
		return "unknown";
	}
	return row.complete === 0 ? "begun" : "whole";
}

/** Returns those of a checkpoint's files that have begun to come over the wire, and are not whole. */
export async function listBegun(db: Reader, uuid: string, files: readonly StoredFile[]): Promise<StoredFile[]> {
	const rows = await db.all<{ path: string }>(
		`SELECT path FROM checkpoint_uploads
		WHERE checkpoint_id = (SELECT id FROM checkpoints WHERE uuid = ?) AND complete = 0`,
		uuid,
	);
	const begun = new Set(rows.map(({ path }) => path));
	return files.filter(({ path }) => begun.has(path));
}

/**
 * Takes note of how far a file is. What was noted of another content of the same path is forgotten.
 *
 * Throws `failed_precondition` if the checkpoint is not ACTIVE any more.
 */
export async function noteUpload(tx: Transaction, uuid: string, file: StoredFile, complete: boolean): Promise<void> {
	const changed = await tx.run(
		`INSERT INTO checkpoint_uploads (checkpoint_id, path, size_bytes, sha256, complete)
		SELECT id, ?, ?, ?, ? FROM checkpoints WHERE uuid = ? AND state = 'ACTIVE'
		ON CONFLICT DO UPDATE SET size_bytes = excluded.size_bytes, sha256 = excluded.sha256, complete = excluded.complete`,
		file.path,
		Number(file.sizeBytes),
		file.sha256,
		complete ? 1 : 0,
		uuid,
	);
	if (changed === 0) {
		throw new MillraceError("failed_precondition", `checkpoint ${uuid} is not ACTIVE any more; create another one`);
	}
}

/**
 * Checks what came over the wire against the files of a checkpoint that is to be completed, and notes what is left of
 * its parts for removal.
 *
 * Throws `failed_precondition` naming a file that is not whole, or another one than is listed.
 */
export async function assertUploaded(tx: Transaction, row: CheckpointRow, files: readonly StoredFile[]): Promise<void> {
	const uploads = await tx.all<UploadRow>(
		"SELECT path, size_bytes, sha256, complete FROM checkpoint_uploads WHERE checkpoint_id = ?",
		row.id,
	);
	if (uploads.length === 0) {
		return;
	}
	const listed = new Map(files.map((file) => [file.path, file]));
	const directories = new Set(files.flatMap(({ path }) => directoriesOf(path)));
	const extra: string[] = [];
	for (const upload of uploads) {
		const file = listed.get(upload.path);
		if (file === undefined) {
			// What was begun under the name of a directory has no file there, and its removal would take all that is below.
			if (!directories.has(upload.path) && !directoriesOf(upload.path).some((directory) => listed.has(directory))) {
				extra.push(upload.path);
			}
		} else if (upload.complete === 0 || !isSame(upload, file)) {
			throw new MillraceError(
				"failed_precondition",
				`the file ${JSON.stringify(file.path)} of checkpoint ${row.uuid} has not come over the wire as a whole; ` +
					"write the rest of it (WriteCheckpointFile), then complete the checkpoint",
			);
		}
	}
	await tx.run("DELETE FROM checkpoint_uploads WHERE checkpoint_id = ?", row.id);
	await notePaths(tx, row.id, [partsDirectory, ...extra]);
}

/** Returns the directories that a path leads through. */
function directoriesOf(path: string): string[] {
	const parts = path.split("/");
	return parts.slice(1).map((_, i) => parts.slice(0, i + 1).join("/"));
}

function isSame(row: UploadRow, file: StoredFile): boolean {
	return row.size_bytes === Number(file.sizeBytes) && row.sha256 === file.sha256;
}
