import type { Trial as TrialMessage, TrialOutput as TrialOutputMessage } from "../gen/millrace/v1/trial_pb.js";
import { fromStoredFile } from "../storage/manifest.js";
import { openStorage } from "../storage/open-storage.js";
import { assertPath } from "./assert-path.js";
import { type AsyncList, asyncList, pagedList } from "./async-list.js";
import type { Session } from "./session.js";

/** An output file of a trial: what its workers have committed of it. */
export interface TrialOutput {
	/** The path below the directory of the trial's outputs, with "/" between its parts. */
	readonly path: string;
	/** The rank of the worker that wrote it. */
	readonly rank: number;
	/** The size in bytes. */
	readonly sizeBytes: number;
}

/** Lists the committed output files of a trial, as `trial.listOutputs` does. */
export function outputList(session: Session, trialId: number): AsyncList<TrialOutput> {
	const outputs = messageList(session, trialId);
	return asyncList(async function* () {
		for await (const { file, rank } of outputs) {
			if (file !== undefined) {
				yield { path: file.path, rank, sizeBytes: Number(file.sizeBytes) };
			}
		}
	});
}

/** Copies the committed output files of a trial to a directory, as `trial.downloadOutputs` does. */
export async function downloadOutputs(session: Session, trial: TrialMessage, directory: string): Promise<string[]> {
	assertPath(directory, "the directory to download to");
	const outputs = await messageList(session, trial.id);
	const files = outputs.flatMap(({ file }) => (file === undefined ? [] : [fromStoredFile(file)]));
	return openStorage(trial.storage).download(trial.outputUuid, files, directory);
}

function messageList(session: Session, trialId: number): AsyncList<TrialOutputMessage> {
	return pagedList(async (page) => {
		const { trials } = await session.connection();
		const answer = await trials.listTrialOutputs({ ...page, trialId });
		return { items: answer.outputs, nextPageToken: answer.nextPageToken };
	});
}
