import type { Token } from "../../gen/millrace/v1/auth_pb.js";
import type { Database, Transaction } from "../db/database.js";
import { createToken, type NewToken } from "../db/tokens.js";
import { digestOf, newSecret } from "./token-secret.js";

/**
 * Makes a token and its secret, which is told once and kept nowhere.
 *
 * @param check Looks in the same transaction whether it may be made, and throws if not.
 */
export async function issueToken(
	db: Database,
	token: Omit<NewToken, "digest">,
	check: (tx: Transaction) => Promise<void>,
): Promise<{ secret: string; token: Token }> {
	const secret = newSecret();
	const made = await db.write(async (tx) => {
		await check(tx);
		return createToken(tx, { ...token, digest: digestOf(secret) });
	});
	return { secret, token: made };
}
