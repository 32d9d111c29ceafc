import { isMillraceError, MillraceError } from "../../errors.js";
import { shown } from "../../sdk/shown.js";
import type { JoinedRun } from "../join-run.js";
import type { Party } from "./party.js";

/**
 * Who asks whether the run is to stop. "WorkersAskChief": all workers call shouldPreempt together, and get the chief's
 * answer. "ChiefOnly": only the chief calls it, and tells the others by itself. "WorkersAskMaster": each asks the server
 * for itself, and the answers may differ for a moment.
 */
export type PreemptMode = "WorkersAskChief" | "ChiefOnly" | "WorkersAskMaster";

const preemptModes: readonly PreemptMode[] = ["WorkersAskChief", "ChiefOnly", "WorkersAskMaster"];

/** Returns a mode. Throws `invalid_argument` if it is none. */
export function checkedPreemptMode(mode: unknown): PreemptMode {
	const found = preemptModes.find((known) => known === mode);
	if (found === undefined) {
		throw new MillraceError(
			"invalid_argument",
			`preemptMode is ${shown(mode)}; it must be one of ${preemptModes.map((known) => JSON.stringify(known)).join(", ")}`,
		);
	}
	return found;
}

/** How often the server is asked at most, in milliseconds: scripts ask after every batch. */
const askMs = 1_000;

/**
 * Tells a script that it is to stop: because its trial was asked to pause, or a worker got SIGTERM or SIGINT.
 *
 * Python: `PreemptContext`
 */
export class PreemptContext {
	readonly #run: JoinedRun;
	readonly #party: Party;
	readonly #mode: PreemptMode;
	readonly #assertOpen: () => void;
	#isAsked = false;
	#askedAt = Number.NEGATIVE_INFINITY;
	#asking: Promise<boolean> | undefined;
	#isAcknowledged = false;

	/** @internal For the runtime's own use. */
	constructor(run: JoinedRun, party: Party, mode: PreemptMode, assertOpen: () => void) {
		this.#run = run;
		this.#party = party;
		this.#mode = mode;
		this.#assertOpen = assertOpen;
	}

	/**
	 * Tells whether the script is to store a checkpoint and return. The run then ends as preempted, and another one can
	 * go on. The server is asked once a second at most, so that it costs nothing to ask after every batch.
	 *
	 * With `autoAck`, the default, an answer of true means that the script will stop. Without it, say so by
	 * `acknowledgePreemptionSignal`: a script that returns without that has completed its trial.
	 *
	 * Throws `failed_precondition` for a worker that is not the chief in the mode "ChiefOnly".
	 *
	 * Python: `should_preempt(auto_ack)`
	 */
	async shouldPreempt({ autoAck = true }: { readonly autoAck?: boolean } = {}): Promise<boolean> {
		this.#assertOpen();
		if (this.#mode === "ChiefOnly" && this.#run.member.rank > 0) {
			throw new MillraceError(
				"failed_precondition",
				`shouldPreempt was called on rank ${this.#run.member.rank}; with preemptMode "ChiefOnly" only rank 0 calls it`,
			);
		}
		const isTogether = this.#mode === "WorkersAskChief";
		const isAsked = isTogether ? await this.#party.first("shouldPreempt", () => this.#ask()) : await this.#ask();
		this.#isAsked ||= isAsked;
		if (this.#isAsked && autoAck) {
			this.#isAcknowledged = true;
		}
		return this.#isAsked;
	}

	/**
	 * Says that the script stops because it was asked to, where `shouldPreempt` was called with `autoAck: false`.
	 *
	 * Throws `failed_precondition` if shouldPreempt has not said so.
	 *
	 * Python: `acknowledge_preemption_signal()`
	 */
	acknowledgePreemptionSignal(): void {
		this.#assertOpen();
		if (!this.#isAsked) {
			throw new MillraceError("failed_precondition", "nobody has asked this run to stop; ask shouldPreempt first");
		}
		this.#isAcknowledged = true;
	}

	/** @internal Whether this worker stops because it was asked to. */
	get isAcknowledged(): boolean {
		return this.#isAcknowledged;
	}

	async #ask(): Promise<boolean> {
		if (this.#isAsked || performance.now() - this.#askedAt < askMs) {
			return this.#isAsked;
		}
		this.#asking ??= isAskedToStop(this.#run).finally(() => {
			this.#askedAt = performance.now();
			this.#asking = undefined;
		});
		return this.#asking;
	}
}

/** Asks the server. A server that is away has not asked anybody. */
async function isAskedToStop({ connection: { trials }, member: { trialId, trialRunId } }: JoinedRun): Promise<boolean> {
	const options = { retryMs: 0 };
	try {
		const [{ trial }, { trialRun }] = await Promise.all([
			trials.getTrial({ trialId }, options),
			trials.getTrialRun({ trialId, trialRunId }, options),
		]);
		return trial?.pauseRequested === true || trial?.cancelRequested === true || trialRun?.preemptRequested === true;
	} catch (error) {
		const isAway = isMillraceError(error, "unavailable") || isMillraceError(error, "deadline_exceeded");
		if (isAway || isMillraceError(error, "resource_exhausted")) {
			return false;
		}
		throw error;
	}
}
