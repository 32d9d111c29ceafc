import { create } from "@bufbuild/protobuf";
import { MillraceError } from "../../errors.js";
import {
	type CheckpointService,
	CompleteCheckpointResponseSchema,
	CreateCheckpointResponseSchema,
} from "../../gen/millrace/v1/checkpoint_service_pb.js";
import type { ServiceHandlers } from "../../rpc/handler.js";
import {
	completeCheckpoint,
	createCheckpoint,
	findCheckpointByFiles,
	getCheckpoint,
	listCheckpoints,
} from "../db/checkpoints.js";
import { once } from "../db/request-ids.js";
import { parsePage } from "../page-token.js";
import { assertFiles, assertRequestId, checkedUuid } from "../request-checks.js";
import type { ServiceContext } from "./service-context.js";
import { unimplemented } from "./unimplemented.js";

/** Operates on checkpoints. */
export function createCheckpointService({
	db,
	defaultStorage,
}: ServiceContext): ServiceHandlers<typeof CheckpointService> {
	return {
		async createCheckpoint({ requestId, metadata, files, reuse }) {
			assertRequestId(requestId);
			assertFiles("files", files);
			if (reuse && files.length === 0) {
				throw new MillraceError("invalid_argument", "files is empty; with reuse, name the files to look for");
			}
			return db.write((tx) =>
				once(tx, requestId, CreateCheckpointResponseSchema, async () => {
					const same = reuse ? await findCheckpointByFiles(tx, files) : undefined;
					const checkpoint = same ?? (await createCheckpoint(tx, { metadata, storage: defaultStorage }));
					return create(CreateCheckpointResponseSchema, { checkpoint });
				}),
			);
		},

		async completeCheckpoint({ checkpointUuid, files, reuse }) {
			const uuid = checkedUuid("checkpoint_uuid", checkpointUuid);
			assertFiles("files", files);
			if (files.length === 0) {
				throw new MillraceError("invalid_argument", "files is empty; a checkpoint needs at least one file");
			}
			const checkpoint = await db.write((tx) => completeCheckpoint(tx, uuid, files, reuse));
			return create(CompleteCheckpointResponseSchema, { checkpoint });
		},

		async getCheckpoint({ checkpointUuid }) {
			return { checkpoint: await getCheckpoint(db, checkedUuid("checkpoint_uuid", checkpointUuid)) };
		},

		async listCheckpoints(request) {
			const page = parsePage("checkpoints", request);
			const before = Number(page.after ?? Number.MAX_SAFE_INTEGER);
			const found = await listCheckpoints(db, before, page.size + 1);
			const shown = found.slice(0, page.size);
			return {
				checkpoints: shown.map(({ checkpoint }) => checkpoint),
				nextPageToken: page.next(found.length, () => shown.at(-1)?.id ?? 0),
			};
		},

		updateCheckpointMetadata: unimplemented,
		removeCheckpointFiles: unimplemented,
		readCheckpointFile: unimplemented,
		writeCheckpointFile: unimplemented,
	};
}
