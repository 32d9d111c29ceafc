import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import {
	CollectiveCaller,
	type CollectiveOperation,
	CollectiveScope,
	ContributionSchema,
	JoinRequestSchema,
	CollectiveOperation as Operation,
} from "../../src/gen/millrace/v1/rendezvous_pb.js";
import { settleMs } from "../../src/rendezvous/collectives.js";
import { rankWaitMs, reconnectGraceMs } from "../../src/rendezvous/presence.js";
import { createRunState, defaultLeaseMs, type RunEffect, type RunState } from "../../src/rendezvous/state.js";
import { transition } from "../../src/rendezvous/transition.js";

const user = { caller: CollectiveCaller.USER, scope: CollectiveScope.WORLD };
const runtime = { caller: CollectiveCaller.RUNTIME, scope: CollectiveScope.WORLD };

function joinOf(rank: number, uuid = `member-${rank}`, worldSize = 2) {
	const host = `host-${rank}`;
	const local = { localRank: rank, localWorldSize: worldSize };
	return create(JoinRequestSchema, { trialId: 1, rank, worldSize, ...local, memberUuid: uuid, host });
}

function contribution(operation: CollectiveOperation, number = 1, channel = user, done = false) {
	return create(ContributionSchema, { channel, operation, number, done });
}

/** A run of `size` members whose sessions are 10 + rank. */
function runningState(size = 2): RunState {
	const state = createRunState(size);
	for (let rank = 0; rank < size; rank++) {
		transition(
			state,
			{ kind: "join", join: joinOf(rank, `member-${rank}`, size), session: 10 + rank, isMember: false },
			0,
		);
	}
	transition(state, { kind: "recorded" }, 0);
	return state;
}

function give(state: RunState, rank: number, operation: CollectiveOperation, number = 1, channel = user, done = false) {
	const given = contribution(operation, number, channel, done);
	return transition(state, { kind: "contribute", rank, session: 10 + rank, contribution: given }, 0);
}

const kinds = (effects: RunEffect[]) => effects.map(({ kind }) => kind);

describe("transition", () => {
	it("starts the run when all ranks are there", () => {
		const state = createRunState(2);
		assert.deepEqual(kinds(transition(state, { kind: "join", join: joinOf(1), session: 1, isMember: false }, 0)), [
			"admit",
		]);
		const effects = transition(state, { kind: "join", join: joinOf(0), session: 2, isMember: false }, 0);
		assert.deepEqual(kinds(effects), ["admit", "record-start"]);
		assert.deepEqual(kinds(transition(state, { kind: "recorded" }, 0)), ["started", "started"]);
	});

	it("fails a forming run at its deadline and names the absent ranks", () => {
		const state = createRunState(4);
		const join = joinOf(2, "m", 4);
		join.joinTimeoutMs = 500;
		transition(state, { kind: "join", join, session: 1, isMember: false }, 100);
		assert.deepEqual(transition(state, { kind: "tick" }, 599), []);
		const [effect] = transition(state, { kind: "tick" }, 600);
		assert.deepEqual(effect, {
			kind: "fail",
			reason: "of 4 workers, rank 0, 1, 3 did not join in time",
			timeout: true,
		});
	});

	it("frees the rank of a member that goes while the run is forming, after its grace", () => {
		const state = createRunState(2);
		transition(state, { kind: "join", join: joinOf(0), session: 1, isMember: false }, 0);
		transition(state, { kind: "disconnect", rank: 0, session: 1 }, 10);
		assert.deepEqual(transition(state, { kind: "tick" }, 9 + reconnectGraceMs), []);
		assert.deepEqual(kinds(transition(state, { kind: "tick" }, 10 + reconnectGraceMs)), ["remove-member"]);
		assert.deepEqual(
			kinds(transition(state, { kind: "join", join: joinOf(0, "other"), session: 2, isMember: false }, 2_000)),
			["admit"],
		);
	});

	it("lets a member whose connection broke come back within its grace, and answers it again", () => {
		const state = runningState();
		give(state, 0, Operation.ALLGATHER);
		transition(state, { kind: "disconnect", rank: 0, session: 10 }, 0);
		const answers = give(state, 1, Operation.ALLGATHER);
		assert.deepEqual(
			answers.map((effect) => effect.kind === "answer" && effect.rank),
			[1],
		);
		const back = transition(state, { kind: "join", join: joinOf(0), session: 20, isMember: false }, 900);
		assert.deepEqual(kinds(back), ["welcome-back", "started"]);
		const given = contribution(Operation.ALLGATHER);
		const again = transition(state, { kind: "contribute", rank: 0, session: 20, contribution: given }, 900);
		assert.deepEqual(kinds(again), ["answer"]);
		assert.deepEqual(transition(state, { kind: "tick" }, 5_000), []);
	});

	it("fails a running run whose member does not come back, and names it", () => {
		const state = runningState();
		transition(state, { kind: "disconnect", rank: 1, session: 11 }, 0);
		const effects = transition(state, { kind: "tick" }, reconnectGraceMs);
		assert.deepEqual(effects, [
			{ kind: "remove-member", join: joinOf(1) },
			{ kind: "fail", reason: "rank 1 on host-1 is lost", lost: { join: joinOf(1), progress: undefined } },
		]);
	});

	it("fails a running run whose member is silent for a lease, with what it last told", () => {
		const state = runningState();
		const progress = { step: 4, inFlight: { first: 40n, end: 50n } };
		transition(state, { kind: "alive", rank: 1, session: 11, progress }, 100);
		transition(state, { kind: "alive", rank: 0, session: 10, progress: { step: 4 } }, 10_000);
		const given = contribution(Operation.GATHER);
		transition(state, { kind: "contribute", rank: 1, session: 11, contribution: given }, 200);
		assert.deepEqual(transition(state, { kind: "tick" }, 199 + defaultLeaseMs), []);
		const reason = "rank 1 on host-1 is lost: it was silent for 15 s";
		assert.deepEqual(transition(state, { kind: "tick" }, 200 + defaultLeaseMs), [
			{ kind: "remove-member", join: joinOf(1) },
			{ kind: "fail", reason, lost: { join: joinOf(1), progress } },
		]);
	});

	it("frees the rank of a member that is silent for a lease while the run is forming", () => {
		const state = createRunState(2, 1_000);
		transition(state, { kind: "join", join: joinOf(0), session: 1, isMember: false }, 0);
		transition(state, { kind: "join", join: joinOf(0, "second"), session: 2, isMember: false }, 10);
		assert.deepEqual(kinds(transition(state, { kind: "tick" }, 999)), []);
		assert.deepEqual(kinds(transition(state, { kind: "tick" }, 1_000)), ["remove-member", "replace", "admit"]);
	});

	it("replaces a member's stream by its newer one, and hears the older no more", () => {
		const state = runningState();
		const back = transition(state, { kind: "join", join: joinOf(0), session: 20, isMember: true }, 5_000);
		assert.deepEqual(kinds(back), ["replace", "welcome-back", "started"]);
		transition(state, { kind: "alive", rank: 1, session: 11, progress: { step: 0 } }, 19_000);
		transition(state, { kind: "alive", rank: 0, session: 10, progress: { step: 0 } }, 19_000);
		const [, effect] = transition(state, { kind: "tick" }, 5_000 + defaultLeaseMs);
		assert.match(effect?.kind === "fail" ? effect.reason : "", /rank 0 on host-0 is lost/);
	});

	it("does not take a join that was held up for a newer stream", () => {
		const state = runningState();
		const later = create(JoinRequestSchema, { ...joinOf(0), attempt: 2 });
		transition(state, { kind: "join", join: later, session: 20, isMember: true }, 0);
		const earlier = create(JoinRequestSchema, { ...joinOf(0), attempt: 1 });
		assert.deepEqual(transition(state, { kind: "join", join: earlier, session: 21, isMember: true }, 0), [
			{ kind: "replace", session: 21 },
		]);
		transition(state, { kind: "disconnect", rank: 0, session: 21 }, 0);
		assert.deepEqual(transition(state, { kind: "tick" }, 2 * reconnectGraceMs), []);
	});

	it("fails a running run at once when a member says that it failed", () => {
		const state = runningState();
		const effects = transition(state, { kind: "leave", rank: 0, session: 10, reason: "out of ink" }, 0);
		assert.deepEqual(effects[1], { kind: "fail", reason: "rank 0 on host-0 failed: out of ink" });
	});

	it("ignores the end of a stream that its member has already replaced", () => {
		const state = runningState();
		transition(state, { kind: "join", join: joinOf(0), session: 20, isMember: false }, 0);
		transition(state, { kind: "disconnect", rank: 0, session: 10 }, 0);
		assert.deepEqual(transition(state, { kind: "tick" }, 2 * reconnectGraceMs), []);
	});

	it("lets a second process for a rank wait for the first to go", () => {
		const state = createRunState(2);
		transition(state, { kind: "join", join: joinOf(0), session: 1, isMember: false }, 0);
		assert.deepEqual(
			transition(state, { kind: "join", join: joinOf(0, "second"), session: 2, isMember: false }, 0),
			[],
		);
		transition(state, { kind: "disconnect", rank: 0, session: 1 }, 10);
		const effects = transition(state, { kind: "tick" }, 10 + reconnectGraceMs);
		assert.deepEqual(kinds(effects), ["remove-member", "admit"]);
	});

	it("refuses the second process when the first stays", () => {
		const state = runningState();
		transition(state, { kind: "join", join: joinOf(0, "second"), session: 2, isMember: false }, 0);
		for (const rank of [0, 1]) {
			transition(state, { kind: "alive", rank, session: 10 + rank, progress: { step: 0 } }, defaultLeaseMs);
		}
		const [effect] = transition(state, { kind: "tick" }, rankWaitMs(state));
		assert.match(effect?.kind === "refuse" ? effect.reason : "", /rank 0 is taken by process/);
	});

	it("answers an operation once all have contributed, in rank order", () => {
		const state = runningState(3);
		assert.deepEqual(give(state, 2, Operation.GATHER), []);
		assert.deepEqual(give(state, 0, Operation.GATHER), []);
		const effects = give(state, 1, Operation.GATHER);
		assert.deepEqual(kinds(effects), ["answer", "answer", "answer"]);
		const [first] = effects;
		assert.deepEqual(first?.kind === "answer" && [...first.answer.contributions.keys()], [0, 1, 2]);
	});

	it("keeps the channels of the nodes apart", () => {
		const state = createRunState(4);
		for (let rank = 0; rank < 4; rank++) {
			const nodeRank = Math.floor(rank / 2);
			const join = create(JoinRequestSchema, { rank, worldSize: 4, localRank: rank % 2, localWorldSize: 2, nodeRank });
			transition(state, { kind: "join", join, session: 10 + rank, isMember: false }, 0);
		}
		transition(state, { kind: "recorded" }, 0);
		const node = { caller: CollectiveCaller.USER, scope: CollectiveScope.NODE };
		assert.deepEqual(give(state, 0, Operation.ALLGATHER, 1, node), []);
		assert.deepEqual(give(state, 2, Operation.ALLGATHER, 1, node), []);
		const effects = give(state, 3, Operation.ALLGATHER, 1, node);
		assert.deepEqual(
			effects.map((effect) => effect.kind === "answer" && effect.rank),
			[2, 3],
		);
	});

	it("fails all when two ranks call different operations, and names ranks and operations", () => {
		const state = runningState();
		give(state, 0, Operation.GATHER);
		const [effect] = give(state, 1, Operation.BROADCAST);
		assert.match(
			effect?.kind === "fail" ? effect.reason : "",
			/operation 1 of the user's code is gather on rank 0 but broadcast on rank 1/,
		);
	});

	it("fails soon when all wait for each other, and says who waits for what", () => {
		const state = runningState();
		assert.deepEqual(give(state, 0, Operation.GATHER), []);
		assert.deepEqual(give(state, 1, Operation.STEP, 1, runtime), []);
		assert.deepEqual(transition(state, { kind: "tick" }, settleMs - 1), [], "more may be on its way");
		const [effect] = transition(state, { kind: "tick" }, settleMs);
		assert.equal(
			effect?.kind === "fail" && effect.reason,
			"all workers wait for each other: rank 0 in gather of the user's code, rank 1 in step of the runtime",
		);
	});

	it("asks for a decision on a step, done only if all are, and ends the run that is preempted", () => {
		const state = runningState();
		give(state, 0, Operation.STEP, 1, runtime, true);
		const [decide] = give(state, 1, Operation.STEP, 1, runtime, false);
		assert.deepEqual(decide?.kind === "decide-step" && decide.done, false);
		assert.ok(decide?.kind === "decide-step");
		const answers = transition(state, { kind: "decided", channel: decide.channel, preempted: true }, 0);
		assert.deepEqual(
			answers.map((effect) => effect.kind === "answer" && effect.answer.preempted),
			[true, true],
		);
		transition(state, { kind: "disconnect", rank: 0, session: 10 }, 0);
		assert.deepEqual(transition(state, { kind: "tick" }, 10_000), []);
	});

	it("finishes with the results of the lowest rank, and misses nobody after it", () => {
		const state = runningState();
		const results = [{ group: "inference", metricsJson: "{}" }];
		const given = create(ContributionSchema, { channel: runtime, operation: Operation.FINISH, number: 1, results });
		give(state, 1, Operation.FINISH, 1, runtime);
		const event = { kind: "contribute", rank: 0, session: 10, contribution: given } as const;
		const [finish] = transition(state, event, 0);
		assert.ok(finish?.kind === "finish");
		assert.equal(finish.results[0]?.group, "inference");
		const answers = transition(state, { kind: "decided", channel: finish.channel, preempted: false }, 0);
		assert.deepEqual(kinds(answers), ["answer", "answer"]);
		assert.equal(state.phase, "ended");
	});

	it("fails a member that skips an operation", () => {
		const state = runningState();
		give(state, 0, Operation.GATHER);
		give(state, 1, Operation.GATHER);
		const [effect] = give(state, 0, Operation.GATHER, 3);
		assert.match(effect?.kind === "fail" ? effect.reason : "", /rank 0 is at operation 3/);
	});

	it("refuses to start workers of one node that disagree on who is there", () => {
		const state = createRunState(2);
		transition(state, { kind: "join", join: joinOf(0), session: 1, isMember: false }, 0);
		const other = create(JoinRequestSchema, { ...joinOf(1), localRank: 0 });
		const effects = transition(state, { kind: "join", join: other, session: 2, isMember: false }, 0);
		const last = effects.at(-1);
		assert.match(last?.kind === "fail" ? last.reason : "", /workers of node 0 do not fit.*LOCAL_RANK/);
	});

	it("waits for the members of a run that had started, and lets nobody take their place", () => {
		const state = createRunState(2, defaultLeaseMs, 100);
		const stranger = joinOf(0, "stranger");
		assert.deepEqual(transition(state, { kind: "join", join: stranger, session: 1, isMember: false }, 100), []);
		const back = transition(state, { kind: "join", join: joinOf(1), session: 2, isMember: true }, 200);
		assert.deepEqual(kinds(back), ["admit"]);
		const [effect] = transition(state, { kind: "tick" }, 100 + defaultLeaseMs);
		assert.match(effect?.kind === "fail" ? effect.reason : "", /rank 0 did not come back/);
		assert.equal(state.phase, "ended");
	});

	it("lets whoever comes after all have left wait as long as the first", () => {
		const state = createRunState(2);
		transition(state, { kind: "join", join: joinOf(0), session: 1, isMember: false }, 0);
		transition(state, { kind: "leave", rank: 0, session: 1, reason: "" }, 1_000);
		assert.equal(state.joinDeadline, undefined);
		transition(state, { kind: "join", join: joinOf(1), session: 2, isMember: false }, 200_000);
		assert.equal(state.joinDeadline, 500_000);
	});

	it("answers again only a rank that took part", () => {
		const state = createRunState(2);
		for (const rank of [0, 1]) {
			const local = { nodeRank: rank, localRank: 0, localWorldSize: 1 };
			const join = create(JoinRequestSchema, { ...joinOf(rank), ...local });
			transition(state, { kind: "join", join, session: 10 + rank, isMember: false }, 0);
		}
		transition(state, { kind: "recorded" }, 0);
		const node = { caller: CollectiveCaller.USER, scope: CollectiveScope.NODE };
		assert.deepEqual(kinds(give(state, 0, Operation.ALLGATHER, 1, node)), ["answer"]);
		const [answer] = give(state, 1, Operation.ALLGATHER, 1, node);
		assert.deepEqual(answer?.kind === "answer" && [...answer.answer.contributions.keys()], [1]);
	});
});
