import type { MessageInitShape } from "@bufbuild/protobuf";
import type { MillraceError } from "../errors.js";
import {
	type CollectiveAnswer,
	CollectiveCaller,
	CollectiveOperation,
	CollectiveScope,
	type ContributionSchema,
} from "../gen/millrace/v1/rendezvous_pb.js";
import type { AttendRequestSchema, RunEnded } from "../gen/millrace/v1/rendezvous_service_pb.js";
import { TrialRunState } from "../gen/millrace/v1/trial_pb.js";
import type { Given, Taken } from "./client.js";

/** What a member tells the server. */
export type MemberMessage = MessageInitShape<typeof AttendRequestSchema>["message"] & object;

type Contributed = MessageInitShape<typeof ContributionSchema>;

interface Open {
	readonly contribution: Contributed;
	readonly operation: CollectiveOperation;
	readonly number: number;
	readonly payloads: Uint8Array[];
	resolve(taken: Taken): void;
	reject(error: MillraceError): void;
}

/** The last operation of a channel that was answered, for a server that was started again. */
interface Remembered {
	readonly contribution: Contributed;
	readonly preempted: boolean;
}

/** The collective operations of a member: those that it waits in, and what it remembers of those that were answered. */
export class OpenCollectives {
	readonly #send: (message: MemberMessage) => void;
	readonly #refusal: () => MillraceError | undefined;
	readonly #open = new Map<string, Open>();
	readonly #remembered = new Map<string, Remembered>();
	readonly #numbers = new Map<string, number>();
	readonly #turns = new Map<string, Promise<unknown>>();

	/**
	 * @param send Tells the server, if there is a connection.
	 * @param refusal What the next operation fails with; undefined while the member has its place.
	 */
	constructor(send: (message: MemberMessage) => void, refusal: () => MillraceError | undefined) {
		this.#send = send;
		this.#refusal = refusal;
	}

	/** Takes part in an operation, in its turn, as `RendezvousMember.collective` does. */
	take(given: Given): Promise<Taken> {
		const key = keyOf(given);
		const before = given.caller === CollectiveCaller.RUNTIME ? [key, ...userChannels] : [key];
		const turn = Promise.all(before.map((channel) => this.#turns.get(channel))).then(() =>
			this.#contribute(key, given),
		);
		this.#turns.set(
			key,
			turn.catch(() => {}),
		);
		return turn;
	}

	/** Says on a new connection what is open, and before that what was answered to a server that has forgotten it. */
	sayAgain(isForgotten: boolean): void {
		for (const { contribution, preempted } of isForgotten ? this.#remembered.values() : []) {
			this.#send({ case: "recollection", value: { contribution, answered: true, preempted } });
		}
		for (const open of this.#open.values()) {
			// The answer may have broken off half way; it comes again from its start.
			open.payloads.length = 0;
			this.#send({ case: "contribution", value: open.contribution });
		}
	}

	/** Takes a part of an answer. */
	answer({ channel, number, payloads, more, preempted }: CollectiveAnswer): void {
		const key = channel === undefined ? "" : keyOf(channel);
		const open = this.#open.get(key);
		if (open === undefined || open.number !== number) {
			return;
		}
		open.payloads.push(...payloads.map(({ payload }) => payload));
		if (!more) {
			this.#open.delete(key);
			this.#remembered.set(key, { contribution: open.contribution, preempted });
			open.resolve({ payloads: open.payloads, preempted });
		}
	}

	/**
	 * Takes the end of the run for the answer to the operation that asked for it: that one may have been lost with the
	 * connection. Returns whether there was one.
	 */
	answerBy({ state }: RunEnded): boolean {
		let isAnswer = false;
		for (const open of this.#open.values()) {
			const finished = open.operation === CollectiveOperation.FINISH && state === TrialRunState.COMPLETED;
			const preempted = open.operation === CollectiveOperation.STEP && state === TrialRunState.PREEMPTED;
			if (finished || preempted) {
				open.resolve({ payloads: [], preempted });
				isAnswer = true;
			}
		}
		return isAnswer;
	}

	/** Fails all that are open. */
	reject(error: MillraceError): void {
		for (const open of this.#open.values()) {
			open.reject(error);
		}
		this.#open.clear();
	}

	#contribute(key: string, { scope, caller, operation, results, ...given }: Given): Promise<Taken> {
		const refusal = this.#refusal();
		if (refusal !== undefined) {
			return Promise.reject(refusal);
		}
		const number = (this.#numbers.get(key) ?? 0) + 1;
		this.#numbers.set(key, number);
		const contribution: Contributed = { channel: { scope, caller }, number, operation, ...given };
		if (results !== undefined) {
			contribution.results = [...results];
		}
		return new Promise((resolve, reject) => {
			this.#open.set(key, { contribution, operation, number, payloads: [], resolve, reject });
			this.#send({ case: "contribution", value: contribution });
		});
	}
}

function keyOf({ caller, scope }: { caller: CollectiveCaller; scope: CollectiveScope }): string {
	return `${caller}:${scope}`;
}

const userChannels = [CollectiveScope.WORLD, CollectiveScope.NODE].map((scope) =>
	keyOf({ caller: CollectiveCaller.USER, scope }),
);
