import { MillraceError } from "../../errors.js";
import {
	type AuthService,
	CreateTokenRequestSchema,
	CreateWorkerTokenRequestSchema,
} from "../../gen/millrace/v1/auth_service_pb.js";
import type { UserCaller } from "../../rpc/gate.js";
import type { ServiceHandlers } from "../../rpc/handler.js";
import { asUser } from "../auth/as-user.js";
import { FirstSecrets } from "../auth/first-secrets.js";
import { issueToken } from "../auth/issue-token.js";
import { assertStillIn } from "../db/caller-rights.js";
import type { Transaction } from "../db/database.js";
import { byNewest, getTokenRow, latestEndBy, listTokens, revokeToken, toToken } from "../db/tokens.js";
import { getRunRow, isOpen } from "../db/trial-runs.js";
import { getTrialRow } from "../db/trials.js";
import { getUserRow } from "../db/users.js";
import { parseSortedPage } from "../page-token.js";
import { assertId, assertNotNegative, assertPlainText, assertRequestId, checkedTime } from "../request-checks.js";
import type { AuthContext } from "./auth-context.js";

const dayMs = 24 * 60 * 60 * 1000;
/** How long a token lives, unless it is said, and the longest that may be said. */
const tokenMs = 30 * dayMs;
const longestTokenMs = 366 * dayMs;

const longestDescription = 200;

/** The methods that keep the tokens of programs and of workers. */
export function tokenMethods({
	db,
	sessions,
	now,
}: AuthContext): Pick<
	ServiceHandlers<typeof AuthService>,
	"createToken" | "createWorkerToken" | "listTokens" | "revokeToken"
> {
	const secrets = new FirstSecrets();

	/** The latest end of the tokens that a user makes by this call, in milliseconds since 1970. */
	async function latestEnd({ tokenId }: UserCaller): Promise<number> {
		return tokenId === undefined ? Number.POSITIVE_INFINITY : latestEndBy(await getTokenRow(db, tokenId));
	}

	return {
		async createToken(request, { caller }) {
			const { requestId, userId, description, expireTime } = request;
			assertRequestId(requestId);
			assertNotNegative("user_id", userId);
			assertPlainText("description", description, longestDescription);
			const user = asUser(caller);
			const owner = userId || user.userId;
			if (owner !== user.userId && !user.isAdmin) {
				throw new MillraceError("permission_denied", "only admins make tokens for others; ask one of them");
			}
			assertAccounts();
			const latest = await latestEnd(user);
			const endTime =
				expireTime === undefined ? Math.min(now() + tokenMs, latest) : checkedTime("expire_time", expireTime);
			if (endTime <= now() || endTime > now() + longestTokenMs) {
				throw new MillraceError(
					"invalid_argument",
					`expire_time is ${new Date(endTime).toISOString()}; it must lie in the future, and within a year`,
				);
			}
			if (endTime > latest) {
				throw new MillraceError(
					"invalid_argument",
					`expire_time is ${new Date(endTime).toISOString()}, but the token that makes this one ends at ` +
						`${new Date(latest).toISOString()}; choose a time up to then, or log in with the password first`,
				);
			}
			return secrets.once(CreateTokenRequestSchema, request, `${user.userId}`, () =>
				issueToken(db, { userId: owner, description, expireTime: endTime }, async (tx) => {
					await assertStillIn(tx, user);
					await assertActive(tx, owner);
				}),
			);
		},

		async createWorkerToken(request, { caller }) {
			const { requestId, trialId, trialRunId } = request;
			assertRequestId(requestId);
			assertId("trial_id", trialId);
			assertNotNegative("trial_run_id", trialRunId);
			const user = asUser(caller);
			const { userId } = user;
			assertAccounts();
			const token = { userId, trialId, trialRunId, description: `workers of trial ${trialId}` };
			// The token of a run has an end of its own, soon after the run's, and makes no others.
			const ofAnyRun = trialRunId === 0 ? { expireTime: Math.min(now() + tokenMs, await latestEnd(user)) } : {};
			return secrets.once(CreateWorkerTokenRequestSchema, request, `${userId}`, () =>
				issueToken(db, { ...token, ...ofAnyRun }, async (tx) => {
					await assertStillIn(tx, user);
					await getTrialRow(tx, trialId);
					const run = trialRunId === 0 ? undefined : await getRunRow(tx, trialId, trialRunId);
					if (run !== undefined && !isOpen(run)) {
						throw new MillraceError(
							"failed_precondition",
							`run ${trialRunId} of trial ${trialId} is closed as ${run.state}; its workers write nothing any more`,
						);
					}
				}),
			);
		},

		async listTokens(request, { caller }) {
			assertNotNegative("user_id", request.userId);
			const user = asUser(caller);
			if (!user.isAdmin && request.userId !== 0 && request.userId !== user.userId) {
				throw new MillraceError("permission_denied", "only admins see the tokens of others; ask one of them");
			}
			const page = parseSortedPage(request, byNewest);
			const found = await listTokens(db, now(), user.isAdmin ? request.userId : user.userId, page);
			const { rows, nextPageToken } = page.take(found, (row) => [row.id, row.id]);
			return { tokens: rows.map(toToken), nextPageToken };
		},

		async revokeToken({ tokenId }, { caller }) {
			assertId("token_id", tokenId);
			const user = asUser(caller);
			const row = await getTokenRow(db, tokenId);
			if (!user.isAdmin && row.user_id !== user.userId) {
				// Whose it is concerns nobody else.
				throw new MillraceError("not_found", `token ${tokenId} not found`);
			}
			const token = await db.write((tx) => revokeToken(tx, tokenId));
			sessions.tokenRevoked(tokenId);
			return { token };
		},
	};

	function assertAccounts(): void {
		if (!sessions.hasAccounts) {
			throw new MillraceError(
				"failed_precondition",
				"this server has no accounts, so it asks for no tokens; make an admin with a password first",
			);
		}
	}
}

/** Throws `failed_precondition` if a user is not active. */
async function assertActive(tx: Transaction, userId: number): Promise<void> {
	const { active, username } = await getUserRow(tx, userId);
	if (active === 0) {
		throw new MillraceError("failed_precondition", `user ${JSON.stringify(username)} is not active; activate it first`);
	}
}
