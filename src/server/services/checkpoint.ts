import { create } from "@bufbuild/protobuf";
import { isMillraceError, MillraceError } from "../../errors.js";
import { CheckpointSortBy, CheckpointState } from "../../gen/millrace/v1/checkpoint_pb.js";
import {
	type CheckpointService,
	CompleteCheckpointResponseSchema,
	CreateCheckpointResponseSchema,
	RemoveCheckpointFilesResponseSchema,
	UpdateCheckpointMetadataResponseSchema,
} from "../../gen/millrace/v1/checkpoint_service_pb.js";
import { OrderBy } from "../../gen/millrace/v1/list_pb.js";
import type { StoredFile } from "../../gen/millrace/v1/storage_pb.js";
import type { ServiceHandlers } from "../../rpc/handler.js";
import { isPartPath } from "../../storage/part-file.js";
import { isSmallerBetter, listCheckpoints } from "../db/checkpoint-list.js";
import { removeCheckpointFiles } from "../db/checkpoint-removals.js";
import {
	completeCheckpoint,
	createCheckpoint,
	findCheckpointByFiles,
	updateCheckpointMetadata,
} from "../db/checkpoint-writes.js";
import { getCheckpoint, toCheckpoint } from "../db/checkpoints.js";
import { findAnswer, once } from "../db/request-ids.js";
import { allFiles, assertGlobs, startGlobSearch } from "../file-globs.js";
import { piecesInTurn } from "../in-turn.js";
import { assertMetadataChange, checkedObject } from "../metadata-change.js";
import { isDescending, parseSortedPage } from "../page-token.js";
import {
	assertEnum,
	assertFile,
	assertFiles,
	assertId,
	assertNotNegative,
	assertRequestId,
	assertText,
	checkedCount,
	checkedUuid,
	required,
} from "../request-checks.js";
import type { ServiceContext } from "./service-context.js";

const largestPiece = 4 * 1024 * 1024;

/** Operates on checkpoints. */
export function createCheckpointService({
	db,
	defaultStorage,
	checkpointFiles,
}: ServiceContext): ServiceHandlers<typeof CheckpointService> {
	/** Tells of each file of a checkpoint whether it is to be removed: without globs, if the storage lacks it. */
	async function findDoomed(uuid: string, globs: readonly string[]): Promise<Map<string, boolean>> {
		const checkpoint = await getCheckpoint(db, uuid);
		const paths = checkpoint.files.map(({ path }) => path);
		if (globs.length === 0) {
			const stored = await checkpointFiles.listStored(checkpoint);
			return new Map(paths.map((path) => [path, !stored.has(path)]));
		}
		if (globs.includes(allFiles)) {
			return new Map(paths.map((path) => [path, true]));
		}
		const search = startGlobSearch("globs", globs);
		try {
			const found = await search.find(paths);
			return new Map(paths.map((path, i) => [path, found[i] === true]));
		} finally {
			search.close();
		}
	}

	return {
		async createCheckpoint({ requestId, metadata, files, reuse, trialId, trialRunId }) {
			assertRequestId(requestId);
			checkedObject("metadata", metadata);
			assertCheckpointFiles(files);
			if (reuse && files.length === 0) {
				throw new MillraceError("invalid_argument", "files is empty; with reuse, name the files to look for");
			}
			assertNotNegative("trial_id", trialId);
			if (trialId > 0) {
				assertId("trial_run_id", trialRunId);
			} else if (trialRunId !== 0) {
				throw new MillraceError("invalid_argument", `trial_run_id is ${trialRunId}, but trial_id is missing; set both`);
			}
			const response = await db.write((tx) =>
				once(tx, requestId, CreateCheckpointResponseSchema, async () => {
					const same = reuse ? await findCheckpointByFiles(tx, files) : undefined;
					const planned = reuse ? files : undefined;
					const asked = { metadata, defaultStorage, trialId, trialRunId, planned };
					return create(CreateCheckpointResponseSchema, { checkpoint: same ?? (await createCheckpoint(tx, asked)) });
				}),
			);
			await checkpointFiles.prepare(required("checkpoint", response.checkpoint));
			return response;
		},

		async completeCheckpoint({ checkpointUuid, files, reuse, metadata }) {
			const uuid = checkedUuid("checkpoint_uuid", checkpointUuid);
			checkedObject("metadata", metadata);
			assertCheckpointFiles(files);
			if (files.length === 0) {
				throw new MillraceError("invalid_argument", "files is empty; a checkpoint needs at least one file");
			}
			await checkpointFiles.verifyBegun(uuid, files);
			const checkpoint = await db.write((tx) => completeCheckpoint(tx, uuid, { files, reuse, metadata }));
			await checkpointFiles.remove([uuid]);
			return create(CompleteCheckpointResponseSchema, { checkpoint });
		},

		async getCheckpoint({ checkpointUuid }) {
			return { checkpoint: await getCheckpoint(db, checkedUuid("checkpoint_uuid", checkpointUuid)) };
		},

		async listCheckpoints(request) {
			const { trialId, experimentId, states, sortBy, sortByMetric: metric } = request;
			assertNotNegative("trial_id", trialId);
			assertNotNegative("experiment_id", experimentId);
			for (const [i, state] of states.entries()) {
				assertEnum(`states[${i}]`, CheckpointState, state);
			}
			assertEnum("sort_by", CheckpointSortBy, sortBy);
			const isByTime =
				metric === "" && (sortBy === CheckpointSortBy.UNSPECIFIED || sortBy === CheckpointSortBy.END_TIME);
			if (!isByTime && trialId === 0 && experimentId === 0) {
				const asked = metric === "" ? `sort_by is ${CheckpointSortBy[sortBy]}` : "sort_by_metric is set";
				throw new MillraceError("invalid_argument", `${asked}, which needs a trial_id or an experiment_id`);
			}
			const smallerIsBetter = await isSmallerBetter(db, request);
			const isByMetric = metric !== "" || sortBy === CheckpointSortBy.SEARCHER_METRIC;
			const newestFirst = metric === "" && sortBy === CheckpointSortBy.UNSPECIFIED;
			const page = parseSortedPage(request, {
				key: "key",
				kind: metric === "" && sortBy === CheckpointSortBy.UUID ? "text" : "number",
				descending: isDescending(
					request.orderBy,
					newestFirst || (isByMetric && !smallerIsBetter) ? OrderBy.DESC : OrderBy.ASC,
				),
			});
			const found = await listCheckpoints(db, request, { sortBy, metric }, page);
			const { rows, nextPageToken } = page.take(
				found,
				({ position }) => position,
				({ row }) => row.files.length + row.metadata.length + (row.config?.length ?? 0) + (row.hparams?.length ?? 0),
			);
			return { checkpoints: rows.map(({ row }) => toCheckpoint(row)), nextPageToken };
		},

		async updateCheckpointMetadata({ requestId, checkpointUuid, metadata }) {
			assertRequestId(requestId);
			const uuid = checkedUuid("checkpoint_uuid", checkpointUuid);
			const change = required("metadata", metadata);
			assertMetadataChange("metadata", change);
			return db.write((tx) =>
				once(tx, requestId, UpdateCheckpointMetadataResponseSchema, async () =>
					create(UpdateCheckpointMetadataResponseSchema, {
						checkpoint: await updateCheckpointMetadata(tx, uuid, change),
					}),
				),
			);
		},

		async removeCheckpointFiles({ requestId, checkpointUuids, globs }) {
			assertRequestId(requestId);
			if (checkpointUuids.length === 0) {
				throw new MillraceError("invalid_argument", "checkpoint_uuids is empty; name at least one checkpoint");
			}
			const uuids = checkpointUuids.map((uuid, i) => checkedUuid(`checkpoint_uuids[${i}]`, uuid));
			assertGlobs("globs", globs);
			const isRepeated = (await findAnswer(db, requestId, RemoveCheckpointFilesResponseSchema)) !== undefined;
			// Found before the transaction: in it nobody shall wait for the storage, or for a glob.
			const doomed = new Map<string, ReadonlyMap<string, boolean>>();
			for (const uuid of new Set(isRepeated ? [] : uuids)) {
				doomed.set(uuid, await findDoomed(uuid, globs).catch(exceptNotFound));
			}
			const isDoomed = (uuid: string, path: string) => {
				const answer = doomed.get(uuid)?.get(path);
				if (answer === undefined) {
					throw new MillraceError("aborted", `checkpoint ${uuid} was completed at this moment; repeat the call`);
				}
				return answer;
			};
			const response = await db.write((tx) =>
				once(tx, requestId, RemoveCheckpointFilesResponseSchema, async () => {
					await removeCheckpointFiles(tx, uuids, isDoomed, globs.includes(allFiles));
					const checkpoints = await Promise.all(uuids.map((uuid) => getCheckpoint(tx, uuid)));
					return create(RemoveCheckpointFilesResponseSchema, { checkpoints });
				}),
			);
			await checkpointFiles.remove(uuids);
			return response;
		},

		async *readCheckpointFile({ checkpointUuid, path, offset }, context) {
			const uuid = checkedUuid("checkpoint_uuid", checkpointUuid);
			assertText("path", path);
			const pieces = checkpointFiles.read(uuid, path, checkedCount("offset", offset));
			for await (const data of piecesInTurn(pieces, context)) {
				yield { data };
			}
		},

		async writeCheckpointFile({ checkpointUuid, file, offset, data }) {
			const uuid = checkedUuid("checkpoint_uuid", checkpointUuid);
			const whole = required("file", file);
			assertFile("file", whole);
			assertOutsideParts("file", whole);
			const from = checkedCount("offset", offset);
			if (data.length > largestPiece) {
				throw new MillraceError(
					"invalid_argument",
					`data has ${data.length} bytes; at most ${largestPiece} are allowed`,
				);
			}
			if (from + data.length > whole.sizeBytes) {
				throw new MillraceError(
					"invalid_argument",
					`offset and data end at byte ${from + data.length}, but file.size_bytes is ${whole.sizeBytes}; send no more than the file`,
				);
			}
			const { sizeBytes, complete } = await checkpointFiles.write(uuid, whole, from, data);
			return { sizeBytes: BigInt(sizeBytes), complete };
		},
	};
}

/** The transaction tells of all checkpoints that do not exist. */
function exceptNotFound(error: unknown): Map<string, boolean> {
	if (!isMillraceError(error, "not_found")) {
		throw error;
	}
	return new Map();
}

function assertCheckpointFiles(files: readonly StoredFile[]): void {
	assertFiles("files", files);
	for (const [i, file] of files.entries()) {
		assertOutsideParts(`files[${i}]`, file);
	}
}

function assertOutsideParts(field: string, { path }: StoredFile): void {
	if (isPartPath(path)) {
		throw new MillraceError(
			"invalid_argument",
			`${field}.path is ${JSON.stringify(path)}, where files lie that are not whole yet; use another name`,
		);
	}
}
