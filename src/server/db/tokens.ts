import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { MillraceError } from "../../errors.js";
import { type Token, TokenSchema } from "../../gen/millrace/v1/auth_pb.js";
import type { Reader, Transaction } from "./database.js";
import { toTimestamp } from "./json-column.js";
import { keyset, type Sort, type SortedPlace } from "./sorted-page.js";

/** A row of the table tokens, with what its validity depends on. */
export interface TokenRow {
	readonly id: number;
	readonly digest: Buffer;
	readonly user_id: number;
	readonly description: string;
	/** The trial that a worker's token may write to; null for a user's token. */
	readonly trial_id: number | null;
	readonly trial_run_id: number;
	readonly create_time: number;
	readonly expire_time: number | null;
	readonly revoke_time: number | null;
	/** 1 for one that was given for a password. */
	readonly login: number;
	readonly username: string;
	readonly admin: number;
	readonly active: number;
	/** When the run of a worker's token was closed; null while it is open, and for other tokens. */
	readonly run_end_time: number | null;
}

/** A token to be created. */
export interface NewToken {
	readonly digest: Buffer;
	readonly userId: number;
	readonly description: string;
	/** The trial that it may write to. Default: it is a user's token. */
	readonly trialId?: number;
	/** The run with which it ends. Default: 0, none. */
	readonly trialRunId?: number;
	/** Default: it ends with its run. */
	readonly expireTime?: number;
	/** Whether it is given for a password. Default false. */
	readonly isLogin?: boolean;
}

/** How long a worker's token goes on after its run: the last lines of its log come late. */
export const afterRunMs = 60 * 60 * 1000;

const columns = `tokens.*, users.username, users.admin, users.active, trial_runs.end_time AS run_end_time`;
const tables = `tokens JOIN users ON users.id = tokens.user_id
	LEFT JOIN trial_runs ON trial_runs.trial_id = tokens.trial_id AND trial_runs.trial_run_id = tokens.trial_run_id`;

/** Tokens as they are listed: the newest first. */
export const byNewest: Sort = { key: "tokens.id", kind: "number", descending: true };

/** Creates a token. */
export async function createToken(tx: Transaction, token: NewToken): Promise<Token> {
	const row = await tx.get<{ id: number }>(
		`INSERT INTO tokens (digest, user_id, description, trial_id, trial_run_id, create_time, expire_time, login)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING id`,
		token.digest,
		token.userId,
		token.description,
		token.trialId ?? null,
		token.trialRunId ?? 0,
		tx.now,
		token.expireTime ?? null,
		token.isLogin ? 1 : 0,
	);
	return toToken(await getTokenRow(tx, row?.id ?? 0));
}

/** Returns a token's row. Throws `not_found` if there is none. */
export async function getTokenRow(db: Reader, tokenId: number): Promise<TokenRow> {
	const row = await db.get<TokenRow>(`SELECT ${columns} FROM ${tables} WHERE tokens.id = ?`, tokenId);
	if (row === undefined) {
		throw new MillraceError("not_found", `token ${tokenId} not found`);
	}
	return row;
}

/** Returns the row of the token whose secret has this digest; undefined if there is none. */
export function findTokenRow(db: Reader, digest: Buffer): Promise<TokenRow | undefined> {
	return db.get<TokenRow>(`SELECT ${columns} FROM ${tables} WHERE tokens.digest = ?`, digest);
}

/** When a token ends, or has ended, in milliseconds since 1970; undefined for one that may go on for ever. */
export function endOf({ expire_time, revoke_time, run_end_time }: TokenRow): number | undefined {
	const ends = [expire_time, revoke_time, run_end_time === null ? null : run_end_time + afterRunMs];
	const known = ends.filter((end) => end !== null);
	return known.length === 0 ? undefined : Math.min(...known);
}

/**
 * The latest end of the tokens that one makes, in milliseconds since 1970: its own, or a leak of it would never end. A login
 * makes tokens for programs, which go on without it.
 */
export function latestEndBy({ login, expire_time }: Pick<TokenRow, "login" | "expire_time">): number {
	return login !== 0 || expire_time === null ? Number.POSITIVE_INFINITY : expire_time;
}

/** Returns the valid tokens of a page and the first one after it. `userId` is 0 for those of all. */
export function listTokens(db: Reader, now: number, userId: number, place: SortedPlace): Promise<TokenRow[]> {
	const { where, parameters, orderBy, limit } = keyset(place, "tokens.id");
	return db.all<TokenRow>(
		`SELECT ${columns} FROM ${tables} WHERE ${where} AND (? OR tokens.user_id = ?)
			AND tokens.revoke_time IS NULL AND ifnull(tokens.expire_time > ?, true)
			AND ifnull(trial_runs.end_time > ?, true) AND users.active
		ORDER BY ${orderBy} LIMIT ?`,
		...parameters,
		userId === 0,
		userId,
		now,
		now - afterRunMs,
		limit,
	);
}

/** Revokes a token. Without effect on one that is revoked. Throws `not_found` if there is none. */
export async function revokeToken(tx: Transaction, tokenId: number): Promise<Token> {
	await tx.run("UPDATE tokens SET revoke_time = ? WHERE id = ? AND revoke_time IS NULL", tx.now, tokenId);
	return toToken(await getTokenRow(tx, tokenId));
}

/** Revokes all tokens. */
export async function revokeAllTokens(tx: Transaction): Promise<void> {
	await tx.run("UPDATE tokens SET revoke_time = ? WHERE id > 0 AND revoke_time IS NULL", tx.now);
}

/** Forgets tokens that expired before a time, in milliseconds since 1970. */
export async function forgetTokens(tx: Transaction, before: number): Promise<void> {
	await tx.run("DELETE FROM tokens WHERE expire_time < ?", before);
}

/** Revokes all tokens of a user but one. */
export async function revokeTokensOf(tx: Transaction, userId: number, exceptTokenId: number): Promise<void> {
	await tx.run(
		"UPDATE tokens SET revoke_time = ? WHERE user_id = ? AND id != ? AND revoke_time IS NULL",
		tx.now,
		userId,
		exceptTokenId,
	);
}

/** Makes a token's description of its row. */
export function toToken(row: TokenRow): Token {
	const expireTime = toTimestamp(row.expire_time);
	const revokeTime = toTimestamp(row.revoke_time);
	return create(TokenSchema, {
		id: row.id,
		userId: row.user_id,
		username: row.username,
		description: row.description,
		trialId: row.trial_id ?? 0,
		trialRunId: row.trial_run_id,
		createTime: timestampFromMs(row.create_time),
		...(expireTime && { expireTime }),
		...(revokeTime && { revokeTime }),
	});
}
