import type { MessageInitShape } from "@bufbuild/protobuf";
import { LogLevel, type NewLogEntrySchema } from "../gen/millrace/v1/log_pb.js";

/** A line on its way to the server. */
export type NewLogEntry = MessageInitShape<typeof NewLogEntrySchema> & { readonly text: string };

/** How much a queue holds. */
export interface LogQueueBounds {
	/** The most lines. Default 250,000. */
	readonly lines?: number | undefined;
	/** The most characters of all lines. Default 32 Mi. */
	readonly characters?: number | undefined;
}

// Well under the wire's limits of 10,000 lines and 32 MiB.
const batchLines = 5_000;
const batchCharacters = 4 * 1024 * 1024;

/** Lines that wait to be sent. Beyond its bounds it drops the oldest, and says so in their place. */
export class LogQueue {
	readonly #maxLines: number;
	readonly #maxCharacters: number;
	#entries: (NewLogEntry | undefined)[] = [];
	#first = 0;
	#characters = 0;
	#dropped = 0;

	constructor({ lines = 250_000, characters = 32 * 1024 * 1024 }: LogQueueBounds = {}) {
		this.#maxLines = lines;
		this.#maxCharacters = characters;
	}

	/** How many lines wait. */
	get length(): number {
		return this.#entries.length - this.#first;
	}

	/** How many lines are lost if no more is taken: those that wait, and those dropped that nothing was said of. */
	get unsaidCount(): number {
		return this.length + this.#dropped;
	}

	/** Adds a line. Returns how many others had to be dropped for it. */
	push(entry: NewLogEntry): number {
		this.#entries.push(entry);
		this.#characters += entry.text.length;
		let dropped = 0;
		while (this.length > 1 && (this.length > this.#maxLines || this.#characters > this.#maxCharacters)) {
			this.#shift();
			dropped++;
		}
		this.#dropped += dropped;
		return dropped;
	}

	/** Counts lines as dropped that are not here. */
	countDropped(count: number): void {
		this.#dropped += count;
	}

	/** Takes the lines of the next call; before them a word on those that were dropped. */
	take(): { readonly entries: NewLogEntry[]; readonly count: number } {
		const entries: NewLogEntry[] = [];
		if (this.#dropped > 0) {
			const lines = this.#dropped === 1 ? "1 line is" : `${this.#dropped} lines are`;
			const text = `millrace: ${lines} missing here: the server did not take them in time`;
			entries.push({ level: LogLevel.WARNING, source: "millrace", text });
			this.#dropped = 0;
		}
		let count = 0;
		for (let characters = 0; this.length > 0 && count < batchLines && characters < batchCharacters; count++) {
			const entry = this.#shift();
			characters += entry.text.length;
			entries.push(entry);
		}
		return { entries, count };
	}

	#shift(): NewLogEntry {
		const entry = this.#entries[this.#first] as NewLogEntry;
		this.#entries[this.#first++] = undefined;
		this.#characters -= entry.text.length;
		if (this.#first > 10_000 && this.#first * 2 > this.#entries.length) {
			this.#entries = this.#entries.slice(this.#first);
			this.#first = 0;
		}
		return entry;
	}
}
