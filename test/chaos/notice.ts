import type { HappenedFault } from "./faults.js";
import { readNotes } from "./notes.js";
import type { FaultKind } from "./round-plan.js";

/** How long it took all others to notice that a worker was lost. */
export interface Notice {
	readonly kind: FaultKind;
	readonly ms: number;
}

/** Finds what the workers of a round noted of those that were lost. */
export function noticesOf(directory: string, happened: readonly HappenedFault[]): Notice[] {
	const notes = readNotes(directory);
	return happened.flatMap(({ kind, leg, run, rank, time }) => {
		const times = notes
			.filter((note) => note.what === "error" && note.leg === leg && note.run === run)
			// A later run may lose the same rank again.
			.filter((note) => note.rank !== rank && note.time >= time)
			.filter(({ text }) => text.includes(`rank ${rank} `) && text.includes("is lost"))
			.map((note) => note.time - time);
		return times.length === 0 ? [] : [{ kind, ms: Math.max(...times) }];
	});
}
