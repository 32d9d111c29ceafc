import type { AuthService } from "../../gen/millrace/v1/auth_service_pb.js";
import type { ServiceHandlers } from "../../rpc/handler.js";
import { PasswordAttempts } from "../auth/password-attempts.js";
import { byNewestLine, listAuditEntries, toAuditEntry } from "../db/audit-log.js";
import { parseSortedPage } from "../page-token.js";
import type { AuthContext } from "./auth-context.js";
import { loginMethods } from "./login.js";
import { tokenMethods } from "./token.js";
import { userMethods } from "./user.js";

/** Lets people and programs in, and keeps their accounts. */
export function createAuthService({
	db,
	sessions,
}: Pick<AuthContext, "db" | "sessions">): ServiceHandlers<typeof AuthService> {
	const context: AuthContext = { db, sessions, attempts: new PasswordAttempts(Date.now), now: Date.now };
	return {
		...loginMethods(context),
		...userMethods(context),
		...tokenMethods(context),

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
}
