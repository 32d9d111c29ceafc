import type { Attendance, JoinInit, MemberHolder, RendezvousMember } from "../rendezvous/client.js";
import type { Channel } from "../rpc/channel.js";

/** How a worker joins. */
export interface AttendRunOptions {
	/** How long to wait for the others before it is said on stderr, in milliseconds. Default 10,000. */
	readonly noticeMs?: number;
	/** As for `attendInThread`. */
	readonly stepTimeoutMs?: number | undefined;
}

/**
 * As `attend`; says on stderr when the others are not there after `noticeMs`, so that a worker which waits
 * for one that was never started does not seem to hang.
 */
export async function attendRun(
	holder: MemberHolder,
	channel: Channel,
	join: JoinInit,
	{ noticeMs = 10_000, stepTimeoutMs }: AttendRunOptions = {},
): Promise<Attendance> {
	let member: RendezvousMember | undefined;
	const notice = setInterval(() => {
		const { rank = 0, worldSize = 0, trialId } = join;
		if (worldSize > 1 && member !== undefined && member.trialRunId > 0) {
			const run = `run ${member.trialRunId} of trial ${trialId}`;
			console.error(`millrace: rank ${rank} of ${worldSize} has joined ${run} and waits for the others`);
			clearInterval(notice);
		}
	}, noticeMs);
	notice.unref();
	try {
		const watch = (joining: RendezvousMember) => {
			member = joining;
		};
		return await holder.attend(channel, join, { watch, stepTimeoutMs });
	} finally {
		clearInterval(notice);
	}
}
