import type { Caller } from "../../rpc/gate.js";

/**
 * Returns who calls, in a few words that no other caller has, and that stay the same with another token: `user 1`, or
 * `workers of trial 7`.
 */
export function callerName(caller: Caller): string {
	switch (caller.kind) {
		case "user":
			return `user ${caller.userId}`;
		case "worker":
			return `workers of trial ${caller.trialId}`;
		case "anonymous":
			return "anonymous";
	}
}
