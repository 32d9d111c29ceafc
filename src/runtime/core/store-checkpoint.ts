import { randomUUID } from "node:crypto";
import { fromJson, toJson } from "@bufbuild/protobuf";
import { MillraceError } from "../../errors.js";
import { StorageSchema } from "../../gen/millrace/v1/storage_pb.js";
import { sleep } from "../../rpc/retry.js";
import { type JsonObject, type JsonValue, toJsonObject } from "../../sdk/json.js";
import { giveUp } from "../../sdk/upload-checkpoint.js";
import type { LocalFile } from "../../storage/local-files.js";
import { type ManifestEntry, toStoredFile } from "../../storage/manifest.js";
import type { StorageManager } from "../../storage/storage-manager.js";
import type { JoinedRun } from "../join-run.js";
import { CheckpointPlace } from "./checkpoint-place.js";
import { mergeFiles } from "./merge-files.js";
import { mergeMetadata } from "./merge-metadata.js";
import type { Party } from "./party.js";

/** The files that one worker has for a checkpoint. */
export interface GatheredFiles {
	readonly files: readonly LocalFile[];
	/** Brings these of them to their places in storage. When it returns they are on disk, and whole. */
	bring(files: readonly LocalFile[]): Promise<void>;
	/** Clears away what is left; also called after a failure. */
	clear(): Promise<void>;
}

/**
 * Stores a checkpoint that all workers of the party bring files to. It becomes COMPLETED in one step, after all files of
 * all of them are on disk; whatever fails or dies before, it never is. What fails on one worker fails on all, and the
 * checkpoint is given up.
 *
 * @param gather Makes this worker's files.
 *
 * Returns the checkpoint's UUID. Throws as `mergeMetadata`, `mergeFiles` and `CheckpointPlace.copy`.
 */
export async function storeCheckpoint(
	run: JoinedRun,
	party: Party,
	metadata: JsonObject,
	gather: (place: CheckpointPlace) => Promise<GatheredFiles>,
): Promise<string> {
	const { connection } = run;
	const checked = () => toJsonObject(metadata, "metadata");
	const merged = mergeMetadata(await party.all("the metadata of a checkpoint", checked));
	const [uuid, storage] = await party.first("creating a checkpoint", () => create(run, merged));
	const place = await CheckpointPlace.find(connection, uuid, fromJson(StorageSchema, storage));
	let files: readonly ManifestEntry[];
	let isUnproven: boolean;
	let gathered: GatheredFiles | undefined;
	try {
		const lists = await party.all(`writing the files of checkpoint ${uuid}`, async () => {
			gathered = await gather(place);
			return gathered.files.map(({ path, sizeBytes, sha256 }): [string, number, string] => [path, sizeBytes, sha256]);
		});
		const merged = mergeFiles(
			lists.map((list) => list.map(([path, sizeBytes, sha256]) => ({ path, sizeBytes, sha256 }))),
		);
		files = merged.files;
		const unproven = await party.all(`placing the files of checkpoint ${uuid}`, async () => {
			const own = gathered?.files.filter(({ path }) => merged.paths[party.rank]?.has(path)) ?? [];
			await gathered?.bring(own);
			await gathered?.clear();
			return place.isUnproven;
		});
		isUnproven = unproven.includes(true);
	} catch (error) {
		await gathered?.clear();
		// Where the run has ended, others may still be writing; the server gives up what its runs have not completed.
		if (party.rank === 0 && !run.rendezvous.signal.aborted) {
			await giveUp(connection, uuid);
		}
		throw error;
	}
	await party.first(`completing checkpoint ${uuid}`, async () => {
		if (isUnproven && party.size > 1) {
			await assertAllThere(place.storage, uuid, files);
		}
		await connection.checkpoints.completeCheckpoint({ checkpointUuid: uuid, files: files.map(toStoredFile) });
		return null;
	});
	return uuid;
}

async function create({ connection, member }: JoinedRun, metadata: JsonObject): Promise<[string, JsonValue]> {
	const { trialId, trialRunId } = member;
	const request = { requestId: randomUUID(), metadata, trialId, trialRunId };
	const { checkpoint } = await connection.checkpoints.createCheckpoint(request);
	if (checkpoint?.storage === undefined) {
		throw new MillraceError("internal", `the server at ${connection.address} sent a checkpoint without its storage`);
	}
	return [checkpoint.uuid, toJson(StorageSchema, checkpoint.storage) as JsonValue];
}

/** How long a file system may take to show one node what another has written. */
const patienceMs = 3_000;

/** If a storage only had the same path on each node, the files of all but one of them would be lost. */
async function assertAllThere(storage: StorageManager, uuid: string, files: readonly ManifestEntry[]): Promise<void> {
	for (const deadline = Date.now() + patienceMs; ; await sleep(100)) {
		const sizes = new Map((await storage.list(uuid)).map(({ path, sizeBytes }) => [path, sizeBytes]));
		const missing = files.find(({ path, sizeBytes }) => sizes.get(path) !== sizeBytes);
		if (missing === undefined) {
			return;
		}
		if (Date.now() >= deadline) {
			throw new MillraceError(
				"failed_precondition",
				`the chief does not see ${JSON.stringify(missing.path)} in ${storage.directory(uuid)}, which another worker ` +
					"wrote: mount the storage under the same path on every node",
			);
		}
	}
}
