import { MillraceError } from "../../errors.js";
import type { Caller } from "../../rpc/gate.js";

/** Returns the name of the user who calls. Throws `permission_denied` if it is no user. */
export function usernameOf(caller: Caller): string {
	if (caller.kind !== "user") {
		throw new MillraceError("permission_denied", "only users may do this; use a user's token");
	}
	return caller.username;
}
