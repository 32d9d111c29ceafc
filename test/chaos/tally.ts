import type { Notice } from "./notice.js";
import type { RoundResult } from "./round.js";
import type { FaultKind, RoundPlan } from "./round-plan.js";

/** Adds up how rounds went. */
export class Tally {
	#rounds = 0;
	#failures = 0;
	#records = 0;
	#problems = 0;
	#legs = 0;
	#longestMs = 0;
	readonly #faults = new Map<FaultKind, number>();
	readonly #notices: Notice[] = [];

	/** Whether a round had a problem. */
	get hasFailures(): boolean {
		return this.#failures > 0;
	}

	add(plan: RoundPlan, result: RoundResult): void {
		this.#rounds++;
		this.#records += plan.data.records;
		this.#legs += result.legs;
		this.#problems += result.problems.length;
		this.#failures += result.problems.length > 0 ? 1 : 0;
		this.#longestMs = Math.max(this.#longestMs, result.ms);
		for (const { kind } of result.happened) {
			this.#faults.set(kind, (this.#faults.get(kind) ?? 0) + 1);
		}
		this.#notices.push(...result.notices);
	}

	/** Returns what all rounds came to, in lines. */
	report(): string {
		const faults = [...this.#faults].sort(([a], [b]) => a.localeCompare(b));
		const count = faults.reduce((sum, [, times]) => sum + times, 0);
		return [
			`rounds: ${this.#rounds}, ${this.#failures} failed; ${this.#legs} starts of workers; the longest took ${seconds(this.#longestMs)}`,
			`faults: ${count}: ${faults.map(([kind, times]) => `${kind} ${times}`).join(", ") || "none"}`,
			`records: ${this.#records}`,
			`mismatches: ${this.#problems}`,
			...noticeLines(this.#notices),
		].join("\n");
	}
}

/** Says how long it took to notice each kind of loss. */
export function noticeLines(notices: readonly Notice[]): string[] {
	const kinds = [...new Set(notices.map(({ kind }) => kind))].sort();
	return kinds.map((kind) => {
		const times = notices.filter((notice) => notice.kind === kind).map(({ ms }) => ms);
		times.sort((a, b) => a - b);
		const median = seconds(times[Math.floor((times.length - 1) / 2)] ?? 0);
		return `noticed after ${kind}: median ${median}, longest ${seconds(times.at(-1) ?? 0)} of ${times.length}`;
	});
}

/** Writes milliseconds as seconds. */
export function seconds(ms: number): string {
	return `${(ms / 1_000).toFixed(2)} s`;
}
