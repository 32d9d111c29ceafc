import { CheckpointService } from "../../src/gen/millrace/v1/checkpoint_service_pb.js";
import type { TestServer } from "./start-test-server.js";

/** Records a COMPLETED checkpoint, without its files, and returns its UUID. */
export async function storeCheckpoint(server: TestServer): Promise<string> {
	const checkpoints = server.client(CheckpointService);
	const { checkpoint } = await checkpoints.createCheckpoint({});
	const checkpointUuid = checkpoint?.uuid ?? "";
	const files = [{ path: "model.onnx", sizeBytes: 7n, sha256: "b".repeat(64) }];
	await checkpoints.completeCheckpoint({ checkpointUuid, files });
	return checkpointUuid;
}
