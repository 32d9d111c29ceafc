import { MillraceError } from "../../errors.js";
import type { Caller, UserCaller } from "../../rpc/gate.js";

/** Returns a caller who manages accounts. Throws `unauthenticated` or `permission_denied` if this one does not. */
export function asAdmin(caller: Caller): UserCaller {
	if (caller.kind === "anonymous") {
		throw new MillraceError("unauthenticated", "this server has accounts; log in as an admin");
	}
	if (caller.kind !== "user" || !caller.isAdmin) {
		throw new MillraceError("permission_denied", "only admins make users; ask one of them");
	}
	return caller;
}

/** Returns a caller who is a user. Throws `permission_denied` if this one is none. */
export function asUser(caller: Caller): UserCaller {
	if (caller.kind !== "user") {
		throw new MillraceError("permission_denied", "only users may do this; use a user's token");
	}
	return caller;
}
