import { type Attendance, attend, type JoinInit, type RendezvousMember } from "../rendezvous/client.js";
import type { Channel } from "../rpc/channel.js";

/**
 * As `attend`; says on stderr when the others are not there after `noticeMs`, so that a worker which waits
 * for one that was never started does not seem to hang.
 */
export async function attendRun(channel: Channel, join: JoinInit, noticeMs = 10_000): Promise<Attendance> {
	let member: RendezvousMember | undefined;
	const notice = setTimeout(() => {
		const { rank = 0, worldSize = 0, trialId } = join;
		if (worldSize > 1 && member !== undefined && member.trialRunId > 0) {
			const run = `run ${member.trialRunId} of trial ${trialId}`;
			console.error(`millrace: rank ${rank} of ${worldSize} has joined ${run} and waits for the others`);
		}
	}, noticeMs);
	notice.unref();
	try {
		return await attend(channel, join, (joining) => {
			member = joining;
		});
	} finally {
		clearTimeout(notice);
	}
}
