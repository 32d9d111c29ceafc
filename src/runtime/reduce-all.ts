import { isMillraceError } from "../errors.js";
import type { StoredPartial } from "../gen/millrace/v1/progress_pb.js";
import { fromJsonText, type JsonObject, toJsonText, toMetricsJson } from "../sdk/json.js";
import { atStep } from "../steps.js";
import type { Part } from "./part.js";
import { broadcastText } from "./run-barriers.js";

/** What the reducers computed over all records of all runs. */
export interface Reduced {
	/** All metrics by name; the same on every worker. */
	readonly results: JsonObject;
	/** The metrics of each group. Empty on all workers but the chief, who speaks for them. */
	readonly groups: readonly { readonly group: string; readonly metricsJson: string }[];
}

/** Lets the chief reduce what all workers of all runs have committed, and tells every worker. */
export async function reduceAll(part: Part): Promise<Reduced> {
	const { member, rendezvous } = part.run;
	part.reducers.end();
	if (member.rank !== 0) {
		const text = await broadcastText(rendezvous, "");
		atStep("end.broadcast");
		return { results: fromJsonText(text) as JsonObject, groups: [] };
	}
	const partials = await storedPartials(part);
	atStep("end.partials-fetched");
	const { results, byGroup } = part.reducers.reduce(partials);
	atStep("end.reduced");
	const text = await broadcastText(rendezvous, toJsonText(results, "the reducers' results"));
	atStep("end.broadcast");
	const groups = [...byGroup].map(([group, metrics]) => ({ group, metricsJson: toMetricsJson(metrics) }));
	return { results: fromJsonText(text) as JsonObject, groups };
}

async function storedPartials({ run: { connection, member } }: Part): Promise<StoredPartial[]> {
	for (;;) {
		const stored: StoredPartial[] = [];
		try {
			for await (const { partials } of connection.progress.streamReducerPartials({ member })) {
				stored.push(...partials);
			}
			return stored;
		} catch (error) {
			// No commit comes any more: what broke off half way reads the same from its start.
			if (stored.length === 0 || !isMillraceError(error, "unavailable")) {
				throw error;
			}
		}
	}
}
