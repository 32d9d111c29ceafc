import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Storage, StoredFileSchema } from "../../src/gen/millrace/v1/storage_pb.js";
import { attend } from "../../src/rendezvous/client.js";
import type { Connection } from "../../src/sdk/connection.js";
import { digestFile } from "../../src/storage/digest.js";
import { openStorage } from "../../src/storage/open-storage.js";

/** Joins a run of a trial, over 10 records in batches of 5, as its one worker. */
export async function joinAlone(
	connection: Connection,
	trialId: number,
	policy: object = {},
	memberUuid = randomUUID(),
) {
	const joinRequest = {
		trialId,
		memberUuid,
		rank: 0,
		worldSize: 1,
		localRank: 0,
		localWorldSize: 1,
		host: "here",
		pid: 1,
	};
	const attendance = await attend(connection.channel, joinRequest);
	assert.ok(attendance.kind === "member");
	const member = { trialId, trialRunId: attendance.member.trialRunId, rank: 0, memberUuid };
	const begun = await connection.progress.beginProgress({
		member,
		plan: { recordCount: 10n },
		options: { batchSize: 5, checkpointInterval: 1, ...policy },
	});
	return {
		member,
		begun,
		/** Writes output files, and returns them as a commit names them, with the directory of all. */
		writeOutputs: (files: Readonly<Record<string, string>>) => writeOutputs(begun, member, files),
		leave: () => attendance.member.leave("the test has seen enough"),
	};
}

async function writeOutputs(
	begun: { readonly storage?: Storage | undefined; readonly outputUuid: string },
	member: { readonly trialRunId: number; readonly memberUuid: string },
	files: Readonly<Record<string, string>>,
) {
	const root = openStorage(begun.storage).directory(begun.outputUuid);
	const part = `r${member.trialRunId}-w0-p0-${member.memberUuid}`;
	const outputs: MessageInitShape<typeof StoredFileSchema>[] = [];
	for (const [name, content] of Object.entries(files)) {
		const path = `${part}/${name}`;
		mkdirSync(dirname(join(root, path)), { recursive: true });
		writeFileSync(join(root, path), content);
		const { sizeBytes, sha256 } = await digestFile(join(root, path));
		outputs.push({ path, sizeBytes: BigInt(sizeBytes), sha256 });
	}
	return { root, part, outputs };
}
