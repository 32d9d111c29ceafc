import { contribute, decided, failIfStuck } from "./collectives.js";
import { disconnect, expire, hear, join, leave, tell } from "./presence.js";
import type { RunEffect, RunEvent, RunState } from "./state.js";

/** Applies an event to the state, and returns what has to be done. Asks no clock, and does nothing itself. */
export function transition(state: RunState, event: RunEvent, now: number): RunEffect[] {
	if (state.phase === "ended") {
		return [];
	}
	switch (event.kind) {
		case "join":
			return join(state, event, now);
		case "recorded":
			state.phase = "running";
			return [...state.members.values()].flatMap(({ session }) =>
				session === undefined ? [] : [{ kind: "started", session } as const],
			);
		case "alive":
			hear(state, event, now);
			tell(state, event, now);
			return [];
		case "contribute":
			hear(state, event, now);
			return contribute(state, event, now);
		case "decided":
			return decided(state, event.channel, event.preempted, now);
		case "disconnect":
			return disconnect(state, event.rank, event.session, now);
		case "leave":
			return leave(state, event.rank, event.session, event.reason, now);
		case "tick": {
			const effects = expire(state, now);
			return [...effects, ...failIfStuck(state, now)];
		}
		case "close":
			state.phase = "ended";
			return [];
	}
}
