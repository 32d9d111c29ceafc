import { MillraceError } from "../errors.js";
import {
	CollectiveOperation,
	type Contribution,
	type JoinRequest,
	type Recollection,
} from "../gen/millrace/v1/rendezvous_pb.js";

/** The most bytes of one contribution. */
const contributionBytes = 16 * 1024 * 1024;

/** Returns a join. Throws `invalid_argument` if its numbers do not fit each other. */
export function checkedJoin(join: JoinRequest): JoinRequest {
	const checks: [boolean, string][] = [
		[join.trialId > 0, `trial_id is ${join.trialId}; it must be the id of a trial`],
		[join.trialRunId >= 0, `trial_run_id is ${join.trialRunId}; it must not be negative`],
		[
			uuidForm.test(join.memberUuid),
			`member_uuid is ${JSON.stringify(join.memberUuid.slice(0, 64))}; it must be a UUID in lower case`,
		],
		[
			join.worldSize > 0 && join.worldSize <= maxWorldSize,
			`world_size is ${join.worldSize}; it must be from 1 to ${maxWorldSize}`,
		],
		[join.rank >= 0 && join.rank < join.worldSize, `rank is ${join.rank}; it must be from 0 to world_size - 1`],
		[
			join.localWorldSize > 0 && join.localWorldSize <= join.worldSize,
			`local_world_size is ${join.localWorldSize}; it must be from 1 to world_size (${join.worldSize})`,
		],
		[
			join.localRank >= 0 && join.localRank < join.localWorldSize,
			`local_rank is ${join.localRank}; it must be from 0 to local_world_size - 1`,
		],
		[join.nodeRank >= 0, `node_rank is ${join.nodeRank}; it must not be negative`],
		[join.joinTimeoutMs >= 0, `join_timeout_ms is ${join.joinTimeoutMs}; it must not be negative`],
	];
	const broken = checks.find(([holds]) => !holds);
	if (broken !== undefined) {
		throw new MillraceError("invalid_argument", broken[1]);
	}
	return join;
}

/**
 * Returns a contribution. Throws `invalid_argument` if it is malformed, `resource_exhausted` if it is too large.
 */
export function checkedContribution(contribution: Contribution): Contribution {
	const { channel, number, operation, payload } = contribution;
	if (channel === undefined || channel.scope === 0 || channel.caller === 0) {
		throw new MillraceError("invalid_argument", "contribution.channel must name a scope and a caller");
	}
	if (number < 1) {
		throw new MillraceError("invalid_argument", `contribution.number is ${number}; operations count from 1`);
	}
	if (operation === CollectiveOperation.UNSPECIFIED || CollectiveOperation[operation] === undefined) {
		throw new MillraceError("invalid_argument", `contribution.operation is ${operation}; it must be a known operation`);
	}
	if (payload.length > contributionBytes) {
		throw new MillraceError(
			"resource_exhausted",
			`contribution.payload has ${payload.length} bytes; the most is ${contributionBytes}`,
		);
	}
	return contribution;
}

/** Returns a recollection. Throws as `checkedContribution` does. */
export function checkedRecollection({ contribution, answered, preempted }: Recollection) {
	if (contribution === undefined) {
		throw new MillraceError("invalid_argument", "recollection.contribution must be set");
	}
	return { contribution: checkedContribution(contribution), answered, preempted };
}

/** The most workers of one run: the state of each is kept in memory. */
const maxWorldSize = 65_536;
const uuidForm = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
