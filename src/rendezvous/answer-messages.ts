import type { MessageInitShape } from "@bufbuild/protobuf";
import {
	type CollectiveAnswerSchema,
	CollectiveOperation,
	type Contribution,
} from "../gen/millrace/v1/rendezvous_pb.js";
import type { Answer } from "./state.js";

type AnswerMessage = MessageInitShape<typeof CollectiveAnswerSchema>;

/** Makes what a rank is due: as many messages as it takes, so that none grows with the world size. */
export function* answerMessages(rank: number, { channel, number, ...answer }: Answer): Generator<AnswerMessage> {
	const due = duePayloads(rank, answer);
	let size = 0;
	let payloads: { rank: number; payload: Uint8Array }[] = [];
	for (const [from, { payload }] of due) {
		if (payloads.length > 0 && size + payload.length > answerBytes) {
			yield { channel, number, payloads, more: true };
			payloads = [];
			size = 0;
		}
		payloads.push({ rank: from, payload });
		size += payload.length;
	}
	const { preempted } = answer;
	yield { channel, number, payloads, more: false, preempted };
}

/** Only what is due is copied: of a thousand ranks, all but one get nothing from a gather. */
function duePayloads(
	rank: number,
	{ operation, contributions }: Pick<Answer, "operation" | "contributions">,
): Iterable<readonly [number, Contribution]> {
	const lowest = contributions.entries().next().value;
	switch (operation) {
		case CollectiveOperation.ALLGATHER:
			return contributions;
		case CollectiveOperation.GATHER:
			return rank === lowest?.[0] ? contributions : [];
		case CollectiveOperation.BROADCAST:
			return lowest === undefined ? [] : [lowest];
		default:
			return [];
	}
}

/** The most bytes of payloads that are put together in one message of an answer. */
const answerBytes = 4 * 1024 * 1024;
