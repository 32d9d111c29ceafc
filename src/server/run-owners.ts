import { setTimeout as delay } from "node:timers/promises";
import type { Rendezvous } from "../rendezvous/service.js";
import type { Reader } from "./db/database.js";
import { hasMember } from "./db/members.js";
import type { TrialRunRow } from "./db/trial-runs.js";

/** How often it is looked whether an open run is still attended, in milliseconds. */
const lookMs = 100;

/** What it takes to know who attends to a run. */
export interface RunOwnersOptions {
	readonly db: Reader;
	/** How long a silent owner counts as alive, in milliseconds. */
	readonly leaseMs: number;
	/** Knows the members, and tells the time that counts for leases. */
	readonly rendezvous: Pick<Rendezvous, "hasMembers" | "now">;
}

/**
 * Who owns the open runs, and whether they are alive. It is kept in memory: after a restart of the server every
 * owner, and every member, has one lease to show itself.
 */
export class RunOwners {
	/** How long a silent owner counts as alive, in milliseconds. */
	readonly leaseMs: number;
	readonly #options: RunOwnersOptions;
	readonly #startedAt: number;
	readonly #startTime = Date.now();
	/** When the owner of a run was heard last. Those who are past their lease are left out. */
	readonly #heardAt = new Map<string, number>();

	constructor(options: RunOwnersOptions) {
		this.#options = options;
		this.leaseMs = options.leaseMs;
		this.#startedAt = options.rendezvous.now();
	}

	/** Takes note that the owner of a run is alive. */
	hear(run: Pick<TrialRunRow, "trial_id" | "trial_run_id">): void {
		const now = this.#options.rendezvous.now();
		for (const [key, heardAt] of this.#heardAt) {
			if (now - heardAt >= this.leaseMs) {
				this.#heardAt.delete(key);
			}
		}
		this.#heardAt.set(keyOf(run), now);
	}

	/**
	 * Tells whether nobody attends to a run, and nobody will: its owner is gone, or the members that it had under an
	 * earlier server did not come back within a lease.
	 */
	async isForgotten(run: TrialRunRow): Promise<boolean> {
		if (this.#options.rendezvous.now() - this.#startedAt < this.leaseMs) {
			return false;
		}
		const isOlder = run.start_time < this.#startTime && run.joined_count > 0;
		// Workers may come at any time to a run that waits for its first ones and has no owner.
		const isAwaited = run.state === "FORMING" && run.owner_uuid === "" && !isOlder;
		return !isAwaited && !(await this.#isAttended(run));
	}

	/**
	 * Waits until nobody attends to a run any more, neither its owner nor a member, and returns true; false once its
	 * owner was heard meanwhile, or after a lease and 1 second. At once false for a script's run, whose owner is unknown.
	 */
	async isAbandoned(run: TrialRunRow): Promise<boolean> {
		if (isScript(run)) {
			return false;
		}
		const { now } = this.#options.rendezvous;
		const start = now();
		while (await this.#isAttended(run)) {
			const isAlive = (this.#heardAt.get(keyOf(run)) ?? start) > start;
			if (isAlive || now() - start >= this.leaseMs + 1_000) {
				return false;
			}
			await delay(lookMs);
		}
		return true;
	}

	async #isAttended(run: TrialRunRow): Promise<boolean> {
		const { db, rendezvous } = this.#options;
		const now = rendezvous.now();
		const { trial_id: trialId, trial_run_id: trialRunId } = run;
		if (rendezvous.hasMembers(trialId, trialRunId)) {
			return true;
		}
		if (now - this.#startedAt < this.leaseMs && (await hasMember(db, trialId, trialRunId))) {
			return true;
		}
		if (run.state === "RUNNING" && run.world_size > 0) {
			// It had members, who are gone; its owner may not have noticed.
			return false;
		}
		const heardAt = this.#heardAt.get(keyOf(run)) ?? this.#startedAt;
		if (run.owner_uuid !== "") {
			return now - heardAt < this.leaseMs;
		}
		// A run without an owner waits for its first member.
		return isScript(run) || Date.now() - run.start_time < this.leaseMs;
	}
}

/** Tells whether a run is that of a script which nobody has to hear from: it may live, and be silent for hours. */
export function isScript(run: Pick<TrialRunRow, "world_size" | "owner_uuid">): boolean {
	return run.world_size === 0 && run.owner_uuid === "";
}

function keyOf(run: Pick<TrialRunRow, "trial_id" | "trial_run_id">): string {
	return `${run.trial_id}/${run.trial_run_id}`;
}
