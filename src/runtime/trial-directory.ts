import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { MillraceError, messageOf } from "../errors.js";
import { sleep } from "../rpc/retry.js";
import type { StorageManager } from "../storage/storage-manager.js";
import type { WorkerPlace } from "./distributed/environment.js";
import type { JoinedRun } from "./join-run.js";
import { allgatherText, broadcastText } from "./run-barriers.js";

/**
 * Makes the trial's directory of output files, and returns its path. Where the workers are on several nodes,
 * the chief makes a probe in it, one worker of each node writes into that, and it is removed again: if the
 * directory only had the same path on each node, the outputs of all but one would be lost.
 *
 * Throws `failed_precondition`, on every worker, naming the nodes that do not share the storage, their hosts
 * and the path; and what `prepare` throws.
 */
export async function openTrialDirectory(
	{ rendezvous, member, config }: Pick<JoinedRun, "rendezvous" | "member" | "config">,
	storage: StorageManager,
	outputUuid: string,
	{ rank, localRank, crossRank, crossSize }: WorkerPlace,
): Promise<string> {
	if (crossSize === 1) {
		return storage.prepare(outputUuid);
	}
	const directory = rank === 0 ? await storage.prepare(outputUuid) : storage.directory(outputUuid);
	// Named as a part's directory is, so that a later run sweeps it away if this one dies meanwhile.
	const ownProbe = `r${member.trialRunId}-probe-${member.memberUuid}`;
	if (rank === 0) {
		await mkdir(join(directory, ownProbe));
	}
	try {
		const probe = join(directory, await broadcastText(rendezvous, ownProbe));
		const problem = localRank === 0 ? await problemOfWriting(join(probe, `node-${crossRank}`)) : "";
		const problems = await allgatherText(rendezvous, problem === "" ? "" : `node ${crossRank} ${problem}`);
		const hostOf = (at: number) => rendezvous.peers[at]?.host ?? "?";
		const unshared = problems.flatMap((text, at) => (text === "" ? [] : [`${text} (rank ${at} on ${hostOf(at)})`]));
		if (unshared.length > 0) {
			throw new MillraceError(
				"failed_precondition",
				`the nodes do not share the trial's storage ${directory}, where rank 0 on ${hostOf(0)} made a probe: ` +
					`${unshared.join("; ")}; ${remedy(config.checkpoint_storage !== undefined)}`,
			);
		}
	} finally {
		if (rank === 0) {
			// What stays is swept by a later run.
			await rm(join(directory, ownProbe), { recursive: true, force: true }).catch(() => {});
		}
	}
	return directory;
}

function remedy(isConfigured: boolean): string {
	return isConfigured
		? "mount the file system of its checkpoint_storage under the same path on every node"
		: "it is the server's own, so set checkpoint_storage in the experiment's configuration: " +
				"type shared_fs, and as host_path a file system that every node mounts";
}

/** How long a file system may take to show one node what another made. */
const patienceMs = 3_000;

/** Writes a file, and returns why it cannot be written; "" if it can. */
async function problemOfWriting(path: string): Promise<string> {
	for (const deadline = Date.now() + patienceMs; ; await sleep(100)) {
		try {
			await writeFile(path, "");
			return "";
		} catch (error) {
			const isMissing = error instanceof Error && "code" in error && error.code === "ENOENT";
			if (!isMissing || Date.now() >= deadline) {
				return isMissing ? "does not see it" : `cannot write into it: ${messageOf(error)}`;
			}
		}
	}
}
