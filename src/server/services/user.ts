import { create } from "@bufbuild/protobuf";
import { MillraceError } from "../../errors.js";
import {
	type AuthService,
	CreateUserResponseSchema,
	UpdateUserResponseSchema,
} from "../../gen/millrace/v1/auth_service_pb.js";
import type { UserCaller } from "../../rpc/gate.js";
import type { ServiceHandlers } from "../../rpc/handler.js";
import { asAdmin, asUser } from "../auth/as-user.js";
import { assertPassword, hashPassword, longestPassword } from "../auth/password.js";
import { assertStillIn } from "../db/caller-rights.js";
import { findAnswer, once } from "../db/request-ids.js";
import { revokeAllTokens, revokeTokensOf } from "../db/tokens.js";
import { byUsername, createUser, findUserRow, getUserRow, listUsers, toUser, updateUser } from "../db/users.js";
import { parseSortedPage } from "../page-token.js";
import { assertId, assertPlainText, assertRequestId } from "../request-checks.js";
import type { AuthContext } from "./auth-context.js";

const longestDisplayName = 128;

/** The methods that keep accounts. */
export function userMethods({
	db,
	sessions,
	attempts,
}: AuthContext): Pick<ServiceHandlers<typeof AuthService>, "createUser" | "getUser" | "listUsers" | "updateUser"> {
	return {
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
	};

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
		const isKnown =
			oldPassword.length <= longestPassword && (await attempts.isRight(username, peer, oldPassword, password));
		if (password !== null && !isKnown) {
			throw new MillraceError("permission_denied", "old_password is wrong; give the present password of this user");
		}
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
