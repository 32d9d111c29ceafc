import { MillraceError } from "../../errors.js";
import type { UserCaller } from "../../rpc/gate.js";
import type { Transaction } from "./database.js";
import { endOf, getTokenRow } from "./tokens.js";
import { hasAccounts } from "./users.js";

/**
 * Looks once more at a caller who gives somebody a way in, inside the transaction: between the gate and here a request may
 * take its time, and meanwhile the caller may have lost the token, or the first account may have been made.
 *
 * Throws `unauthenticated` if the token is no longer valid, `permission_denied` if the caller was an admin and is none now.
 */
export async function assertStillIn(tx: Transaction, { tokenId, isAdmin }: UserCaller): Promise<void> {
	if (tokenId === undefined) {
		if (await hasAccounts(tx)) {
			throw new MillraceError("unauthenticated", "this server has accounts from now on; log in, and call again");
		}
		return;
	}
	const token = await getTokenRow(tx, tokenId);
	if (token.active === 0 || (endOf(token) ?? Number.POSITIVE_INFINITY) <= tx.now) {
		throw new MillraceError("unauthenticated", "the token is no longer valid; log in again");
	}
	if (isAdmin && token.admin === 0) {
		throw new MillraceError("permission_denied", `user ${JSON.stringify(token.username)} is no longer an admin`);
	}
}
