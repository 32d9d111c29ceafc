import { MillraceError } from "../../errors.js";
import { type AuthService, LoginRequestSchema } from "../../gen/millrace/v1/auth_service_pb.js";
import type { Caller } from "../../rpc/gate.js";
import type { ServiceHandlers } from "../../rpc/handler.js";
import { asUser } from "../auth/as-user.js";
import { FirstSecrets } from "../auth/first-secrets.js";
import { issueToken } from "../auth/issue-token.js";
import { longestPassword } from "../auth/password.js";
import type { Database, Transaction } from "../db/database.js";
import { getTokenRow, revokeToken } from "../db/tokens.js";
import { findUserRow, getUserRow, toUser, type UserRow } from "../db/users.js";
import { assertRequestId, assertText } from "../request-checks.js";
import type { AuthContext } from "./auth-context.js";

/** How long a token lives that a login made. */
const loginMs = 7 * 24 * 60 * 60 * 1000;

/** The methods by which people come in and go. */
export function loginMethods({
	db,
	sessions,
	attempts,
	now,
}: AuthContext): Pick<ServiceHandlers<typeof AuthService>, "login" | "logout" | "getMe"> {
	const secrets = new FirstSecrets();

	return {
		async login(request, { peer }) {
			const { requestId, username, password } = request;
			assertRequestId(requestId);
			assertText("username", username);
			if (password.length > longestPassword) {
				// It is nobody's, and to hash megabytes takes its time.
				throw wrongPassword();
			}
			return secrets.once(LoginRequestSchema, request, "", async () => {
				const user = await findUserRow(db, username.slice(0, 64));
				const isSole = !sessions.hasAccounts && user?.id === 1 && password === "";
				if (!isSole && !(await attempts.isRight(username.slice(0, 64), peer, password, user?.password))) {
					throw wrongPassword();
				}
				const row = user as UserRow;
				if (row.active === 0) {
					throw new MillraceError("permission_denied", `user ${JSON.stringify(username)} is not active; ask an admin`);
				}
				const login = { userId: row.id, description: `login from ${peer}`, isLogin: true };
				const token = { ...login, expireTime: now() + loginMs };
				return { ...(await issueToken(db, token, (tx) => assertUnchanged(tx, row))), user: toUser(row) };
			});
		},

		async logout(_request, { caller }) {
			if (caller.kind === "anonymous") {
				// The gate lets a token pass that was revoked: the first answer may have been lost.
				return {};
			}
			const tokenId = asUser(caller).tokenId;
			if (tokenId === undefined) {
				throw new MillraceError("failed_precondition", "this server has no accounts, so there is no token to revoke");
			}
			await db.write((tx) => revokeToken(tx, tokenId));
			sessions.tokenRevoked(tokenId);
			return {};
		},

		async getMe(_request, { caller }) {
			return { user: toUser(await getUserRow(db, await userIdOf(db, caller))) };
		},
	};

	function wrongPassword(): MillraceError {
		return new MillraceError(
			"unauthenticated",
			sessions.hasAccounts
				? "no user has this name and password"
				: 'no user has this name and password; this server has no accounts but "determined", without a password',
		);
	}
}

async function userIdOf(db: Database, caller: Caller): Promise<number> {
	return caller.kind === "worker" ? (await getTokenRow(db, caller.tokenId)).user_id : asUser(caller).userId;
}

/** Throws `aborted` if a user has got another password, or is no longer active, since the row was read. */
async function assertUnchanged(tx: Transaction, { id, password, username }: UserRow): Promise<void> {
	const row = await getUserRow(tx, id);
	if (row.active === 0 || row.password !== password) {
		throw new MillraceError("aborted", `user ${JSON.stringify(username)} was just changed; log in again`);
	}
}
