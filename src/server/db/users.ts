import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { MillraceError } from "../../errors.js";
import { type User, UserSchema } from "../../gen/millrace/v1/auth_pb.js";
import type { Reader, SqlValue, Transaction } from "./database.js";
import { keyset, type Sort, type SortedPlace } from "./sorted-page.js";

/** A row of the table users. */
export interface UserRow {
	readonly id: number;
	readonly username: string;
	readonly display_name: string;
	readonly admin: number;
	readonly active: number;
	readonly remote: number;
	/** As `hashPassword` writes it; null where the user has none. */
	readonly password: string | null;
	readonly create_time: number;
	readonly update_time: number;
}

/** A user to be created. */
export interface NewUser {
	readonly username: string;
	readonly displayName: string;
	readonly admin: boolean;
	readonly remote: boolean;
	readonly password: string | null;
}

/** What to change of a user; undefined stays. */
export interface UserChange {
	readonly displayName: string | undefined;
	readonly admin: boolean | undefined;
	readonly active: boolean | undefined;
	readonly password: string | undefined;
}

/** Users as they are listed. */
export const byUsername: Sort = { key: "username", kind: "text", descending: false };

/** Tells whether somebody has to log in: there is an active user with a password. */
export async function hasAccounts(db: Reader): Promise<boolean> {
	const row = await db.get("SELECT id FROM users WHERE admin >= 0 AND password IS NOT NULL AND active LIMIT 1");
	return row !== undefined;
}

/**
 * Creates a user.
 *
 * Throws `already_exists` if the name is taken, `failed_precondition` if nobody could manage accounts then: the first user
 * with a password has to be an admin.
 */
export async function createUser(tx: Transaction, user: NewUser): Promise<User> {
	if (!(await hasAccounts(tx)) && !(user.admin && user.password !== null)) {
		throw new MillraceError(
			"failed_precondition",
			`${JSON.stringify(user.username)} would be the first account, with which the server begins to ask for tokens; ` +
				"make an admin with a password first",
		);
	}
	const row = await tx.get<UserRow>(
		`INSERT INTO users (username, display_name, admin, active, remote, password, create_time, update_time)
		VALUES (?1, ?2, ?3, 1, ?4, ?5, ?6, ?6) ON CONFLICT DO NOTHING RETURNING *`,
		user.username,
		user.displayName,
		user.admin,
		user.remote,
		user.password,
		tx.now,
	);
	if (row === undefined) {
		throw new MillraceError(
			"already_exists",
			`user ${JSON.stringify(user.username)} exists already; choose another name`,
		);
	}
	return toUser(row);
}

/** Returns a user's row, by id. Throws `not_found` if there is none. */
export async function getUserRow(db: Reader, userId: number): Promise<UserRow> {
	const row = await db.get<UserRow>("SELECT * FROM users WHERE id = ?", userId);
	if (row === undefined) {
		throw new MillraceError("not_found", `user ${userId} not found`);
	}
	return row;
}

/** Returns a user's row, by name; undefined if there is none. */
export function findUserRow(db: Reader, username: string): Promise<UserRow | undefined> {
	return db.get<UserRow>("SELECT * FROM users WHERE username = ?", username);
}

/** Returns the users of a page and the first one after it. */
export function listUsers(db: Reader, active: boolean | undefined, place: SortedPlace): Promise<UserRow[]> {
	const { where, parameters, orderBy, limit } = keyset(place);
	return db.all<UserRow>(
		`SELECT * FROM users WHERE ${where} AND ifnull(active = ?, true) ORDER BY ${orderBy} LIMIT ?`,
		...parameters,
		active ?? null,
		limit,
	);
}

/**
 * Changes a user.
 *
 * Throws `not_found` if there is none, `failed_precondition` if nobody could manage accounts then.
 */
export async function updateUser(tx: Transaction, userId: number, change: UserChange): Promise<User> {
	const row = await getUserRow(tx, userId);
	const values: SqlValue[] = [
		change.displayName ?? row.display_name,
		change.admin ?? row.admin,
		change.active ?? row.active,
		change.password === undefined ? row.remote : 0,
		change.password ?? row.password,
	];
	const hadAccounts = await hasAccounts(tx);
	const changed = await tx.get<UserRow>(
		`UPDATE users SET display_name = ?, admin = ?, active = ?, remote = ?, password = ?, update_time = ?
		WHERE id = ? RETURNING *`,
		...values,
		tx.now,
		userId,
	);
	const admin = await tx.get("SELECT id FROM users WHERE admin = 1 AND password IS NOT NULL AND active LIMIT 1");
	if (admin === undefined && (hadAccounts || change.password !== undefined)) {
		throw new MillraceError(
			"failed_precondition",
			`without ${JSON.stringify(row.username)} there would be no active admin with a password; make another one first`,
		);
	}
	return toUser(changed as UserRow);
}

/** Makes a user of its row. */
export function toUser(row: UserRow): User {
	return create(UserSchema, {
		id: row.id,
		username: row.username,
		displayName: row.display_name,
		admin: row.admin !== 0,
		active: row.active !== 0,
		remote: row.remote !== 0,
		createTime: timestampFromMs(row.create_time),
		updateTime: timestampFromMs(row.update_time),
	});
}
