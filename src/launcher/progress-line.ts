import { durationText } from "../duration-text.js";

/** What is known of a trial's progress at one time. */
export interface ProgressSample {
	/** When, in milliseconds. */
	readonly timeMs: number;
	readonly recordsDone: number;
	/** 0 while the number of records is not known. */
	readonly recordsTotal: number;
}

/** How long the speed is averaged over, in milliseconds. */
const windowMs = 10_000;

/** Turns samples into the words of a progress display. */
export class ProgressMeter {
	#samples: ProgressSample[] = [];

	/** Takes the next sample. */
	add(sample: ProgressSample): void {
		// The time in which workers start, and nothing is done yet, says nothing of their speed.
		if (this.#samples.every(({ recordsDone }) => recordsDone === sample.recordsDone)) {
			this.#samples = [];
		}
		this.#samples.push(sample);
		while (this.#samples.length > 2 && (this.#samples[1]?.timeMs ?? 0) < sample.timeMs - windowMs) {
			this.#samples.shift();
		}
	}

	/** Forgets the past, as when a new run starts. */
	reset(): void {
		this.#samples = [];
	}

	/** The part that is done, from 0 to 1. */
	get fraction(): number {
		const last = this.#samples.at(-1);
		return last === undefined || last.recordsTotal === 0 ? 0 : last.recordsDone / last.recordsTotal;
	}

	/** As in `4,096 / 10,000 records (41 %), 2,950 records/s, 2 s left`; undefined while nothing is known. */
	get text(): string | undefined {
		const first = this.#samples[0];
		const last = this.#samples.at(-1);
		if (first === undefined || last === undefined || last.recordsTotal === 0) {
			return undefined;
		}
		const percent = Math.floor(this.fraction * 100);
		const counts = `${count(last.recordsDone)} / ${count(last.recordsTotal)} records (${percent} %)`;
		const seconds = (last.timeMs - first.timeMs) / 1_000;
		const speed = seconds === 0 ? 0 : (last.recordsDone - first.recordsDone) / seconds;
		if (speed <= 0) {
			return counts;
		}
		const left = last.recordsTotal - last.recordsDone;
		const shownLeft = left === 0 ? "" : `, ${formatDuration(left / speed)} left`;
		return `${counts}, ${rateText(speed)} records/s${shownLeft}`;
	}
}

/** Returns how much there is of something in a second: "2.5", "2,950". */
export function rateText(perSecond: number): string {
	return perSecond < 10 ? perSecond.toFixed(1) : count(Math.round(perSecond));
}

/** Returns a number with commas: "10,000". */
export function count(value: number): string {
	return value.toLocaleString("en-US");
}

/** Returns a time as its reader would say it: "2 s", "3 min 20 s", "2 h 5 min". */
export function formatDuration(seconds: number): string {
	return durationText(Math.ceil(seconds));
}
