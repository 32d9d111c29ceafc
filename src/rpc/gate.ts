import type { DescMethod, Message } from "@bufbuild/protobuf";
import type { ErrorCode } from "../errors.js";

/** Who makes a call. */
export type Caller = UserCaller | WorkerCaller | { readonly kind: "anonymous" };

/** A person, or a program that has a person's token. */
export interface UserCaller {
	readonly kind: "user";
	readonly userId: number;
	readonly username: string;
	readonly isAdmin: boolean;
	/** The token that was shown; undefined on a server without accounts. */
	readonly tokenId: number | undefined;
}

/** A worker of a trial, which may write to that trial only. */
export interface WorkerCaller {
	readonly kind: "worker";
	readonly trialId: number;
	readonly tokenId: number;
}

/** What is known of a call before its request is read. */
export interface IncomingCall {
	readonly method: DescMethod;
	/** The value of the header `authorization`; undefined if there is none. */
	readonly authorization: string | undefined;
	/** The length of all names and values of its headers together. */
	readonly metadataBytes: number;
	/** The caller's address, as `host:port`. It is the same for all calls of a connection. */
	readonly peer: string;
}

/** A call that was let in. */
export interface Admission {
	readonly caller: Caller;
	/** Aborted, with a MillraceError as its reason, when the caller may no longer go on. */
	readonly revoked: AbortSignal;
	/**
	 * Looks at what is asked for, before the handler does: the request, or the first one of a stream.
	 *
	 * Throws `permission_denied` if the caller may not ask for it.
	 */
	check(request: Message): Promise<void>;
	/** Takes note of the end of the call, once. */
	end(outcome: ErrorCode | "ok"): void;
}

/** What lets calls in. */
export interface Gate {
	/**
	 * Lets a call in.
	 *
	 * Throws `unauthenticated` if it does not say who calls and has to, `permission_denied` if the caller may never call
	 * this method, `resource_exhausted` beyond a limit.
	 */
	admit(call: IncomingCall): Promise<Admission>;
}

/** Lets every call in, as the one user of a server without accounts. */
export const openGate: Gate = {
	admit: async () => ({ caller: soleCaller, revoked: new AbortController().signal, check: async () => {}, end() {} }),
};

/** The user of a server without accounts, who may do everything. */
export const soleCaller: UserCaller = {
	kind: "user",
	userId: 1,
	username: "determined",
	isAdmin: true,
	tokenId: undefined,
};
