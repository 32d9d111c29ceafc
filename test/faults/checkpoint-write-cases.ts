import { createHash, randomUUID } from "node:crypto";
import { CheckpointService } from "../../src/gen/millrace/v1/checkpoint_service_pb.js";
import type { TestServer } from "../support/start-test-server.js";
import type { WriteCase } from "./write-cases.js";

/** The writes of checkpoints that came after the first ones. */
export const checkpointWriteCases: Readonly<Record<string, WriteCase>> = {
	"CheckpointService.UpdateCheckpointMetadata": async (server, wire) => {
		const checkpointUuid = await newCheckpoint(server, { old: 1 });
		const metadata = { remove: ["old"], set: { fresh: 2 } };
		return () => wire.checkpoints.updateCheckpointMetadata({ requestId: randomUUID(), checkpointUuid, metadata });
	},

	"CheckpointService.RemoveCheckpointFiles": async (server, wire) => {
		const checkpointUuid = await newCheckpoint(server);
		const files = ["a.bin", "b.txt"].map((path) => ({ path, sizeBytes: 7n, sha256: "b".repeat(64) }));
		await server.client(CheckpointService).completeCheckpoint({ checkpointUuid, files });
		const request = { checkpointUuids: [checkpointUuid], globs: ["*.bin"] };
		return () => wire.checkpoints.removeCheckpointFiles({ requestId: randomUUID(), ...request });
	},

	"CheckpointService.WriteCheckpointFile": async (server, wire) => {
		const checkpointUuid = await newCheckpoint(server);
		const data = Buffer.from("weights");
		const sha256 = createHash("sha256").update(data).digest("hex");
		const file = { path: "model.onnx", sizeBytes: 7n, sha256 };
		return () => wire.checkpoints.writeCheckpointFile({ checkpointUuid, file, data });
	},
};

async function newCheckpoint(server: TestServer, metadata = {}): Promise<string> {
	const { checkpoint } = await server.client(CheckpointService).createCheckpoint({ metadata });
	return checkpoint?.uuid ?? "";
}
