import { create } from "@bufbuild/protobuf";
import { MillraceError } from "../../errors.js";
import {
	type AuthService,
	CreateTokenRequestSchema,
	CreateUserResponseSchema,
	CreateWorkerTokenRequestSchema,
	LoginRequestSchema,
	UpdateUserResponseSchema,
} from "../../gen/millrace/v1/auth_service_pb.js";
import type { Caller, UserCaller } from "../../rpc/gate.js";
import type { ServiceHandlers } from "../../rpc/handler.js";
import { hostOf } from "../../rpc/host-of.js";
import { FirstSecrets } from "../auth/first-secrets.js";
import { LoginThrottle } from "../auth/login-throttle.js";
import { assertPassword, hashPassword, isPassword, longestPassword } from "../auth/password.js";
import type { Sessions } from "../auth/sessions.js";
import { digestOf, newSecret } from "../auth/token-secret.js";
import { byNewestLine, listAuditEntries, toAuditEntry } from "../db/audit-log.js";
import { assertStillIn } from "../db/caller-rights.js";
import type { Database, Transaction } from "../db/database.js";
import { findAnswer, once } from "../db/request-ids.js";
import {
	byNewest,
	createToken,
	getTokenRow,
	latestEndBy,
	listTokens,
	type NewToken,
	revokeAllTokens,
	revokeToken,
	revokeTokensOf,
	toToken,
} from "../db/tokens.js";
import { getRunRow, isOpen } from "../db/trial-runs.js";
import { getTrialRow } from "../db/trials.js";
import {
	byUsername,
	createUser,
	findUserRow,
	getUserRow,
	listUsers,
	toUser,
	type UserRow,
	updateUser,
} from "../db/users.js";
import { networkOf } from "../loopback.js";
import { parseSortedPage } from "../page-token.js";
import {
	assertId,
	assertNotNegative,
	assertPlainText,
	assertRequestId,
	assertText,
	checkedTime,
} from "../request-checks.js";

/** What the service works with. */
export interface AuthServiceContext {
	readonly db: Database;
	readonly sessions: Sessions;
	/** Tells the time in milliseconds since 1970. Default: `Date.now`. */
	readonly now?: () => number;
}

const dayMs = 24 * 60 * 60 * 1000;
/** How long a token lives that a login made. */
const loginMs = 7 * dayMs;
/** How long other tokens live, unless it is said, and the longest that may be said. */
const tokenMs = 30 * dayMs;
const longestTokenMs = 366 * dayMs;

const longestDisplayName = 128;
const longestDescription = 200;

/** Lets people and programs in, and keeps their accounts. */
export function createAuthService({
	db,
	sessions,
	now = Date.now,
}: AuthServiceContext): ServiceHandlers<typeof AuthService> {
	const throttle = new LoginThrottle(now);
	const secrets = new FirstSecrets();

	/** Makes a token and the secret that is told once. */
	async function issue(token: Omit<NewToken, "digest">, check: (tx: Transaction) => Promise<void> = async () => {}) {
		const secret = newSecret();
		const made = await db.write(async (tx) => {
			await check(tx);
			return createToken(tx, { ...token, digest: digestOf(secret) });
		});
		return { secret, token: made };
	}

	/** The latest end of the tokens that a user makes by this call, in milliseconds since 1970. */
	async function latestEnd({ tokenId }: UserCaller): Promise<number> {
		return tokenId === undefined ? Number.POSITIVE_INFINITY : latestEndBy(await getTokenRow(db, tokenId));
	}

	/** Tells whether a password is a user's; counts wrong ones, of the user and of where they come from. */
	function isRight(username: string, peer: string, password: string, hash: string | null | undefined) {
		const network = networkOf(hostOf(peer));
		return throttle.attempt(`${network} ${username}`, () => isPassword(password, hash ?? undefined, network));
	}

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
				if (!isSole && !(await isRight(username.slice(0, 64), peer, password, user?.password))) {
					throw wrongPassword();
				}
				const row = user as UserRow;
				if (row.active === 0) {
					throw new MillraceError("permission_denied", `user ${JSON.stringify(username)} is not active; ask an admin`);
				}
				const login = { userId: row.id, description: `login from ${peer}`, isLogin: true };
				const token = { ...login, expireTime: now() + loginMs };
				return { ...(await issue(token, (tx) => assertUnchanged(tx, row))), user: toUser(row) };
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

		async createUser({ requestId, username, displayName, admin, password, remote }, { caller }) {
			assertRequestId(requestId);
			const answer = await findAnswer(db, requestId, CreateUserResponseSchema);
			if (answer?.user?.username === username) {
				return answer;
			}
			const by = asAdmin(caller);
			assertUsername(username);
			assertPlainText("display_name", displayName, longestDisplayName);
			if (remote && password !== "") {
				throw new MillraceError("invalid_argument", "a remote user has no password; leave out either of the two");
			}
			if (!remote && password === "") {
				throw new MillraceError("invalid_argument", "password is empty; it is required, unless the user is remote");
			}
			if (!remote) {
				assertPassword("password", password);
			}
			const user = { username, displayName, admin, remote, password: remote ? null : await hashPassword(password) };
			const created = await db.write((tx) =>
				once(tx, requestId, CreateUserResponseSchema, async () => {
					await assertStillIn(tx, by);
					if (by.tokenId === undefined) {
						// Whoever logged in while everyone could is to log in again, now that not everyone can.
						await revokeAllTokens(tx);
					}
					return create(CreateUserResponseSchema, { user: await createUser(tx, user) });
				}),
			);
			await sessions.accountsChanged();
			return created;
		},

		async getUser({ user }) {
			switch (user.case) {
				case "userId":
					assertId("user_id", user.value);
					return { user: toUser(await getUserRow(db, user.value)) };
				case "username": {
					const row = await findUserRow(db, user.value);
					if (row === undefined) {
						throw new MillraceError("not_found", `user ${JSON.stringify(user.value)} not found`);
					}
					return { user: toUser(row) };
				}
				default:
					throw new MillraceError("invalid_argument", "user is missing; give a user_id or a username");
			}
		},

		async listUsers(request) {
			const page = parseSortedPage(request, byUsername);
			const found = await listUsers(db, request.active, page);
			const { rows, nextPageToken } = page.take(found, (row) => [row.username, row.id]);
			return { users: rows.map(toUser), nextPageToken };
		},

		async updateUser({ requestId, userId, displayName, admin, active, password, oldPassword }, { caller, peer }) {
			assertRequestId(requestId);
			assertId("user_id", userId);
			const user = asUser(caller);
			// Before the old password is asked for, which is no longer it where the first answer was lost.
			const answer = await findAnswer(db, requestId, UpdateUserResponseSchema);
			if (answer !== undefined) {
				return answer;
			}
			if (!user.isAdmin && (user.userId !== userId || admin !== undefined || active !== undefined)) {
				throw new MillraceError(
					"permission_denied",
					"only admins change other users, and whether one is an admin or active; ask one of them",
				);
			}
			if (displayName !== undefined) {
				assertPlainText("display_name", displayName, longestDisplayName);
			}
			if (password !== undefined) {
				assertPassword("password", password);
				await assertOldPassword(user, userId, peer, oldPassword);
			}
			const hash = password === undefined ? undefined : await hashPassword(password);
			const areRevoked = password !== undefined || active === false;
			const exceptTokenId = active === false ? 0 : (user.tokenId ?? 0);
			const changed = await db.write((tx) =>
				once(tx, requestId, UpdateUserResponseSchema, async () => {
					await assertStillIn(tx, user);
					if (user.tokenId === undefined && password !== undefined) {
						await revokeAllTokens(tx);
					}
					if (areRevoked) {
						await revokeTokensOf(tx, userId, exceptTokenId);
					}
					const change = { displayName, admin, active, password: hash };
					return create(UpdateUserResponseSchema, { user: await updateUser(tx, userId, change) });
				}),
			);
			await sessions.userChanged(userId, { areRevoked, exceptTokenId });
			return changed;
		},

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
				issue({ userId: owner, description, expireTime: endTime }, async (tx) => {
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
				issue({ ...token, ...ofAnyRun }, async (tx) => {
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

		async listAuditEntries(request) {
			const page = parseSortedPage(request, byNewestLine);
			const found = await listAuditEntries(db, request.username, page);
			const { rows, nextPageToken } = page.take(
				found,
				(row) => [row.id, row.id],
				(row) => row.subject.length,
			);
			return { entries: rows.map(toAuditEntry), nextPageToken };
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

	function assertAccounts(): void {
		if (!sessions.hasAccounts) {
			throw new MillraceError(
				"failed_precondition",
				"this server has no accounts, so it asks for no tokens; make an admin with a password first",
			);
		}
	}

	/** Throws `permission_denied` if a user changes the own password and does not know it. */
	async function assertOldPassword(user: UserCaller, userId: number, peer: string, oldPassword: string) {
		if (user.userId !== userId || user.tokenId === undefined) {
			return;
		}
		const { username, password } = await getUserRow(db, userId);
		if (password === null && !user.isAdmin) {
			// Whoever has found a token of a program would have a way in for good.
			throw new MillraceError("permission_denied", "a remote user gets a password from an admin; ask one of them");
		}
		const isKnown = oldPassword.length <= longestPassword && (await isRight(username, peer, oldPassword, password));
		if (password !== null && !isKnown) {
			throw new MillraceError("permission_denied", "old_password is wrong; give the present password of this user");
		}
	}
}

/** Returns a caller who manages accounts. Throws `unauthenticated` or `permission_denied` if this one does not. */
function asAdmin(caller: Caller): UserCaller {
	if (caller.kind === "anonymous") {
		throw new MillraceError("unauthenticated", "this server has accounts; log in as an admin");
	}
	if (caller.kind !== "user" || !caller.isAdmin) {
		throw new MillraceError("permission_denied", "only admins make users; ask one of them");
	}
	return caller;
}

function asUser(caller: Caller): UserCaller {
	if (caller.kind !== "user") {
		throw new MillraceError("permission_denied", "only users may do this");
	}
	return caller;
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

/** Throws `failed_precondition` if a user is not active. */
async function assertActive(tx: Transaction, userId: number): Promise<void> {
	const { active, username } = await getUserRow(tx, userId);
	if (active === 0) {
		throw new MillraceError("failed_precondition", `user ${JSON.stringify(username)} is not active; activate it first`);
	}
}

function assertUsername(username: string): void {
	if (!/^[\p{L}\p{N}._@+-]{1,64}$/u.test(username)) {
		throw new MillraceError(
			"invalid_argument",
			`username is ${JSON.stringify(username)}; it must have 1 to 64 letters, digits or characters of "._@+-"`,
		);
	}
}
