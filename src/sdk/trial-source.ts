import type { MessageInitShape } from "@bufbuild/protobuf";
import { MillraceError } from "../errors.js";
import type { ReportTrialSourceInfoRequestSchema } from "../gen/millrace/v1/trial_service_pb.js";
import { shown } from "./shown.js";

/** What links a trial to a model version. */
export interface LinkedVersion {
	readonly modelId: number;
	readonly modelVersion: number;
}

/** What links a trial to a checkpoint. */
export interface LinkedCheckpoint {
	readonly uuid: string;
}

/** What a trial used, as a request names it. */
export type LinkSource = NonNullable<MessageInitShape<typeof ReportTrialSourceInfoRequestSchema>["source"]>;

/** Names a model version that a trial used. Throws `invalid_argument` if it is none. */
export async function versionSource(version: LinkedVersion | PromiseLike<LinkedVersion | null>): Promise<LinkSource> {
	const given = await version;
	if (given === null) {
		throw new MillraceError("invalid_argument", "the model has no version; register one with registerVersion");
	}
	if (typeof given?.modelId !== "number" || typeof given.modelVersion !== "number") {
		const found = typeof given === "object" ? "not a model version" : shown(given);
		throw new MillraceError(
			"invalid_argument",
			`the model version is ${found}; give what client.getModel(name).getVersion(number) returns`,
		);
	}
	return { case: "modelVersion", value: { model: String(given.modelId), version: given.modelVersion } };
}

/** Names a checkpoint that a trial used, given itself or as its UUID. Throws `invalid_argument` if it is none. */
export async function checkpointSource(
	checkpoint: string | LinkedCheckpoint | PromiseLike<LinkedCheckpoint>,
): Promise<LinkSource> {
	const given = await checkpoint;
	const uuid = typeof given === "string" ? given : given?.uuid;
	if (typeof uuid !== "string") {
		const found = typeof given === "object" && given !== null ? "not a checkpoint" : shown(given);
		throw new MillraceError(
			"invalid_argument",
			`the checkpoint is ${found}; give its UUID, or what client.getCheckpoint(uuid) returns`,
		);
	}
	return { case: "checkpointUuid", value: uuid };
}
