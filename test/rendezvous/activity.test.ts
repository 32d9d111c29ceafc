import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import {
	CollectiveCaller,
	CollectiveScope,
	ContributionSchema,
	JoinRequestSchema,
	CollectiveOperation as Operation,
} from "../../src/gen/millrace/v1/rendezvous_pb.js";
import { runActivity } from "../../src/rendezvous/activity.js";
import { createRunState, type MemberProgress, type RunState } from "../../src/rendezvous/state.js";
import { transition } from "../../src/rendezvous/transition.js";

const runtime = { caller: CollectiveCaller.RUNTIME, scope: CollectiveScope.WORLD };
const userOnNode = { caller: CollectiveCaller.USER, scope: CollectiveScope.NODE };

/** Lets a rank join whose node has two workers; its session is 10 + rank. */
function join(state: RunState, rank: number, now: number): void {
	const [nodeRank, localRank] = [Math.floor(rank / 2), rank % 2];
	const place = { rank, worldSize: state.worldSize, nodeRank, localRank, localWorldSize: 2 };
	const request = create(JoinRequestSchema, { trialId: 1, memberUuid: `member-${rank}`, ...place });
	transition(state, { kind: "join", join: request, session: 10 + rank, isMember: false }, now);
}

/** A run of four on two nodes, which all joined at 0. */
function runningState(): RunState {
	const state = createRunState(4);
	for (let rank = 0; rank < 4; rank++) {
		join(state, rank, 0);
	}
	transition(state, { kind: "recorded" }, 0);
	return state;
}

function tell(state: RunState, rank: number, progress: MemberProgress, now: number, unchangedMs?: number): void {
	transition(state, { kind: "alive", rank, session: 10 + rank, progress, unchangedMs }, now);
}

function give(state: RunState, rank: number, operation: Operation, now: number, channel = runtime): void {
	const contribution = create(ContributionSchema, { channel, operation, number: 1 });
	transition(state, { kind: "contribute", rank, session: 10 + rank, contribution }, now);
}

const seen = (state: RunState, rank: number, now = 0) => runActivity(state, now).members.get(`member-${rank}`);

describe("runActivity", () => {
	it("tells since when a member is at its records, by the member's own word", () => {
		const state = runningState();
		const inFlight = { first: 640n, end: 704n };
		assert.equal(seen(state, 2)?.progress, undefined);
		tell(state, 2, { step: 9, inFlight, isLoading: true }, 5_000, 3_000);
		assert.equal(seen(state, 2)?.unchangedSince, 2_000);
		tell(state, 2, { step: 9, inFlight }, 7_500, 500);
		assert.equal(seen(state, 2)?.unchangedSince, 7_000);
		// Two messages of the same batch, of which the second was held up on its way.
		tell(state, 2, { step: 9, inFlight }, 12_000, 3_000);
		assert.deepEqual(seen(state, 2), {
			isConnected: true,
			heardAt: 12_000,
			progress: { step: 9, inFlight },
			toldAt: 12_000,
			unchangedSince: 7_000,
		});
	});

	it("counts from the first message about a batch where a worker does not tell", () => {
		const state = runningState();
		tell(state, 0, { step: 9, inFlight: { first: 0n, end: 8n } }, 1_000);
		tell(state, 0, { step: 9, inFlight: { first: 0n, end: 8n } }, 3_500);
		assert.equal(seen(state, 0)?.unchangedSince, 1_000);
		tell(state, 0, { step: 10 }, 6_000);
		assert.equal(seen(state, 0)?.unchangedSince, 6_000);
	});

	it("hears a member by whatever it sends, and tells when its connection is broken", () => {
		const state = runningState();
		give(state, 1, Operation.STEP, 4_000);
		assert.deepEqual([seen(state, 1)?.heardAt, seen(state, 3)?.heardAt], [4_000, 0]);
		assert.equal(seen(state, 1)?.toldAt, 0);
		transition(state, { kind: "disconnect", rank: 1, session: 11 }, 4_100);
		assert.deepEqual([seen(state, 1)?.isConnected, seen(state, 1)?.heardAt], [false, 4_000]);
		join(state, 1, 4_200);
		assert.deepEqual([seen(state, 1)?.isConnected, seen(state, 1)?.heardAt], [true, 4_200]);
	});

	it("tells who waits for whom, in the world and on a node, and since when", () => {
		const state = runningState();
		give(state, 3, Operation.STEP, 1_000);
		give(state, 0, Operation.STEP, 2_000);
		give(state, 2, Operation.ALLGATHER, 3_000, userOnNode);
		const { operations } = runActivity(state, 4_000);
		assert.deepEqual(
			operations.map(({ channel: { caller, scope }, ...operation }) => ({ caller, scope, ...operation })),
			[
				{
					...runtime,
					...{ nodeRank: 0, operation: Operation.STEP, number: 1, since: 1_000 },
					...{ waitingRanks: [0, 3], missingRanks: [1, 2] },
				},
				{
					...userOnNode,
					...{ nodeRank: 1, operation: Operation.ALLGATHER, number: 1, since: 3_000 },
					...{ waitingRanks: [2], missingRanks: [3] },
				},
			],
		);
	});

	it("keeps an operation until the server has decided on the answer", () => {
		const state = runningState();
		for (let rank = 0; rank < 4; rank++) {
			give(state, rank, Operation.STEP, 1_000);
		}
		assert.deepEqual(runActivity(state, 1_000).operations[0]?.missingRanks, []);
		const [key = ""] = state.channels.keys();
		transition(state, { kind: "decided", channel: key, preempted: false }, 1_100);
		assert.deepEqual(runActivity(state, 1_100).operations, []);
	});

	it("tells until when workers are waited for: to join, or to come back to another server", () => {
		const forming = createRunState(4);
		assert.equal(runActivity(forming, 0).joinDeadline, undefined);
		join(forming, 1, 100);
		assert.equal(runActivity(forming, 0).joinDeadline, 300_100);
		assert.equal(runActivity(runningState(), 0).joinDeadline, undefined);
		const returning = createRunState(4, 15_000, 500);
		assert.equal(runActivity(returning, 500).joinDeadline, 15_500);
		// It remembers an answer that the others never got: nobody waits for this one.
		join(returning, 0, 600);
		const contribution = create(ContributionSchema, { channel: runtime, operation: Operation.STEP, number: 1 });
		const answered = { preempted: false };
		transition(returning, { kind: "contribute", rank: 0, session: 10, contribution, answered }, 600);
		assert.deepEqual(runActivity(returning, 600).operations, []);
	});
});
