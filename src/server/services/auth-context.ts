import type { PasswordAttempts } from "../auth/password-attempts.js";
import type { Sessions } from "../auth/sessions.js";
import type { Database } from "../db/database.js";

/** What the methods of accounts work with. */
export interface AuthContext {
	readonly db: Database;
	readonly sessions: Sessions;
	readonly attempts: PasswordAttempts;
	/** Tells the time in milliseconds since 1970. */
	now(): number;
}
