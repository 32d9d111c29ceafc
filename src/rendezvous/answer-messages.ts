import type { MessageInitShape } from "@bufbuild/protobuf";
import { type CollectiveAnswerSchema, CollectiveOperation } from "../gen/millrace/v1/rendezvous_pb.js";
import type { Answer } from "./state.js";

type AnswerMessage = MessageInitShape<typeof CollectiveAnswerSchema>;

/** Makes what a rank is due: as many messages as it takes, so that none grows with the world size. */
export function* answerMessages(rank: number, { channel, number, ...answer }: Answer): Generator<AnswerMessage> {
	const given = [...answer.contributions];
	const lowest = given[0]?.[0];
	const due =
		answer.operation === CollectiveOperation.ALLGATHER ||
		(answer.operation === CollectiveOperation.GATHER && rank === lowest)
			? given
			: answer.operation === CollectiveOperation.BROADCAST
				? given.slice(0, 1)
				: [];
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

/** The most bytes of payloads that are put together in one message of an answer. */
const answerBytes = 4 * 1024 * 1024;
