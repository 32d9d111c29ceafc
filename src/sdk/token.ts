import { randomUUID } from "node:crypto";
import { timestampDate, timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { Token as TokenMessage } from "../gen/millrace/v1/auth_pb.js";
import { assertDate } from "./assert-date.js";
import { assertNumber } from "./assert-number.js";
import { assertKnownOptions } from "./assert-options.js";
import { assertString } from "./assert-string.js";
import { type AsyncList, pagedList } from "./async-list.js";
import type { Session } from "./session.js";

/** What a token is, without its secret. */
export interface Token {
	/** The id. */
	readonly id: number;
	/** Whose it is, by id. A worker's token is that of the user who started the run. */
	readonly userId: number;
	/** The name of that user. */
	readonly username: string;
	/** What it is for. */
	readonly description: string;
	/** The trial whose worker it is for, which may write to that trial only; null for a user's token. */
	readonly trialId: number | null;
	/** The run that it is for; null for a user's token, and for one of workers of any run. */
	readonly trialRunId: number | null;
	/** When it was made. */
	readonly creationTime: Date;
	/** When it ends by itself; null for a worker's token, which ends an hour after its run. */
	readonly expireTime: Date | null;
}

/** A token that was just made. */
export interface CreatedToken extends Token {
	/** What is put into MILLRACE_TOKEN. It is told only here. */
	readonly secret: string;
}

/** Options of `client.createToken`. */
export interface CreateTokenOptions {
	/** What it is for, in words for a person, at most 200 characters. Default: "". */
	readonly description?: string;
	/**
	 * When it ends, at most a year from now. Made with a token that was made so too, it ends with that one at the latest;
	 * after a login there is no such bound. Default: in 30 days, or with that one.
	 */
	readonly expireTime?: Date;
	/** Whose it will be; others than oneself are for admins. Default: one's own. */
	readonly userId?: number;
}

/** Options of `client.listTokens`. */
export interface ListTokensOptions {
	/** Only those of this user; others than oneself are for admins. Default: one's own, or for admins those of all. */
	readonly userId?: number;
}

/** Options of `trial.createWorkerToken`. */
export interface WorkerTokenOptions {
	/** The run, which must be open. Default: those of any run, for 30 days, or as long as the token of a program that makes it. */
	readonly trialRunId?: number;
}

/** Makes a token, as `client.createToken` does. */
export async function createToken(session: Session, options: CreateTokenOptions): Promise<CreatedToken> {
	assertKnownOptions(options, "createToken", ["description", "expireTime", "userId"]);
	const { description = "", expireTime, userId } = options;
	assertString(description, "description");
	if (expireTime !== undefined) {
		assertDate(expireTime, "expireTime");
	}
	if (userId !== undefined) {
		assertNumber(userId, "userId");
	}
	const { auth } = await session.connection();
	const request = { requestId: randomUUID(), description, userId: userId ?? 0 };
	return created(
		await auth.createToken({ ...request, ...(expireTime && { expireTime: timestampFromDate(expireTime) }) }),
	);
}

/** Makes a token for workers of a trial, as `trial.createWorkerToken` does. */
export async function createWorkerToken(
	session: Session,
	trialId: number,
	options: WorkerTokenOptions,
): Promise<CreatedToken> {
	assertKnownOptions(options, "createWorkerToken", ["trialRunId"]);
	const { trialRunId } = options;
	if (trialRunId !== undefined) {
		assertNumber(trialRunId, "trialRunId");
	}
	const { auth } = await session.connection();
	return created(await auth.createWorkerToken({ requestId: randomUUID(), trialId, trialRunId: trialRunId ?? 0 }));
}

/** Lists valid tokens, the newest first. Reading throws `invalid_argument` for an option that is not of its type. */
export function tokenList(session: Session, options: ListTokensOptions): AsyncList<Token> {
	return pagedList(async (page) => {
		assertKnownOptions(options, "listTokens", ["userId"]);
		const { userId } = options;
		if (userId !== undefined) {
			assertNumber(userId, "userId");
		}
		const { auth } = await session.connection();
		const { tokens, nextPageToken } = await auth.listTokens({ ...page, userId: userId ?? 0 });
		return { items: tokens.map(toToken), nextPageToken };
	});
}

function created({ secret, token }: { readonly secret: string; readonly token?: TokenMessage | undefined }) {
	return { ...toToken(token as TokenMessage), secret };
}

function toToken(message: TokenMessage): Token {
	const { id, userId, username, description } = message;
	return {
		...{ id, userId, username, description },
		trialId: message.trialId || null,
		trialRunId: message.trialRunId || null,
		creationTime: message.createTime ? timestampDate(message.createTime) : new Date(0),
		expireTime: message.expireTime ? timestampDate(message.expireTime) : null,
	};
}
