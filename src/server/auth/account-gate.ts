import type { Message } from "@bufbuild/protobuf";
import { MillraceError } from "../../errors.js";
import type { LoginRequest } from "../../gen/millrace/v1/auth_service_pb.js";
import { AuthService } from "../../gen/millrace/v1/auth_service_pb.js";
import { TrialService } from "../../gen/millrace/v1/trial_service_pb.js";
import { type Admission, type Caller, type Gate, type IncomingCall, soleCaller } from "../../rpc/gate.js";
import type { ErrorLog } from "../../rpc/status.js";
import type { Database } from "../db/database.js";
import { accessTo } from "./access.js";
import { Audit, isWrite, subjectOf } from "./audit.js";
import type { Session, Sessions } from "./sessions.js";
import { bearerOf } from "./token-secret.js";

/** Lets in who has a token, as far as the token goes; everyone, while the server has no accounts. */
export class AccountGate implements Gate {
	readonly #db: Database;
	readonly #sessions: Sessions;
	readonly #audit: Audit;

	constructor(db: Database, sessions: Sessions, log: ErrorLog) {
		this.#db = db;
		this.#sessions = sessions;
		this.#audit = new Audit(db, log);
	}

	async admit(call: IncomingCall): Promise<Admission> {
		const revoked = new AbortController();
		// Who logs out, or changes the own password, is to hear that it is done.
		const isStoppable = call.method.parent.typeName !== AuthService.typeName;
		const stop = (reason: MillraceError) => isStoppable && revoked.abort(reason);
		const { session, leave } = await this.#enter(call, stop);
		const caller: Caller = session?.caller ?? (this.#sessions.hasAccounts ? { kind: "anonymous" } : soleCaller);
		try {
			assertMayCall(call, caller);
		} catch (error) {
			leave();
			throw error;
		}
		let note: (outcome: string) => void = () => {};
		return {
			caller,
			revoked: revoked.signal,
			check: async (request) => {
				if (caller === soleCaller && this.#sessions.hasAccounts) {
					throw new MillraceError("unauthenticated", "this server has accounts from now on; log in, and call again");
				}
				if (this.#isAudited(call, caller)) {
					const entry = {
						username: session?.username ?? claimedName(call, request),
						token_id: session?.tokenId ?? 0,
						method: `${call.method.parent.typeName}/${call.method.name}`,
						subject: subjectOf(call.method.input, request),
						peer: call.peer,
					};
					note = session === undefined ? this.#audit.attempt(entry) : await this.#audit.begin(entry);
				}
				await this.#assertMayAsk(call, caller, request);
			},
			end(outcome) {
				leave();
				note(outcome);
			},
		};
	}

	/** Finds out who calls, and notes the call so that it ends with the token. */
	async #enter(
		{ method, authorization }: IncomingCall,
		stop: (reason: MillraceError) => unknown,
	): Promise<{ session?: Session; leave: () => void }> {
		if (!this.#sessions.hasAccounts) {
			return { leave: method.methodKind === "unary" ? () => {} : this.#sessions.enterAnonymous(stop) };
		}
		const secret = bearerOf(authorization);
		const isOpen = accessTo(method) === "anyone";
		if (secret === undefined) {
			if (isOpen) {
				return { leave() {} };
			}
			throw new MillraceError(
				"unauthenticated",
				authorization === undefined
					? "this server has accounts; log in by `millrace user login`, or put a token into MILLRACE_TOKEN"
					: "the header authorization must be `Bearer TOKEN`",
			);
		}
		try {
			return await this.#sessions.enter(secret, stop);
		} catch (error) {
			// An old token is no reason not to log in, and who logs out twice is out.
			if (isOpen || (method === AuthService.method.logout && (await this.#sessions.wasRevoked(secret)))) {
				return { leave() {} };
			}
			throw error;
		}
	}

	#isAudited({ method }: IncomingCall, caller: Caller): boolean {
		// That a process is alive is no write that anybody asks after, and it says so all day long.
		const isTold = isWrite(method) && method !== TrialService.method.keepTrialRun;
		const isSomebody = caller.kind === "user" || method === AuthService.method.login;
		return this.#sessions.hasAccounts && isSomebody && isTold;
	}

	/** Throws `permission_denied` if the caller may call the method, but not with this request. */
	async #assertMayAsk({ method }: IncomingCall, caller: Caller, request: Message): Promise<void> {
		const access = accessTo(method);
		if (typeof access !== "object") {
			return;
		}
		if ("trials" in access && caller.kind === "worker") {
			const trials = await access.trials(request, this.#db);
			const other = trials.find((trialId) => trialId !== caller.trialId);
			if (other !== undefined) {
				throw new MillraceError(
					"permission_denied",
					`this token is for the workers of trial ${caller.trialId}, which may not write to ` +
						`${other === 0 ? "what belongs to no trial" : `trial ${other}`}; use a user's token`,
				);
			}
		}
		if ("owner" in access && caller.kind === "user" && !caller.isAdmin) {
			const owner = await access.owner(request, this.#db);
			if (owner !== undefined && owner !== caller.username) {
				throw new MillraceError(
					"permission_denied",
					`only ${JSON.stringify(owner)}, who made it, and admins may do this; ask one of them`,
				);
			}
		}
	}
}

/** Throws `permission_denied` if the caller may never call the method. */
function assertMayCall({ method }: IncomingCall, caller: Caller): void {
	const access = accessTo(method);
	if (access === "admins" && !(caller.kind === "user" && caller.isAdmin)) {
		throw new MillraceError("permission_denied", `${method.name} is for admins; ask one of them`);
	}
	if ((access === "users" || (typeof access === "object" && "owner" in access)) && caller.kind === "worker") {
		throw new MillraceError("permission_denied", `${method.name} is not for workers; use a user's token`);
	}
}

/** The name that somebody gives who logs in; anonymous callers can do nothing else that is a write. */
function claimedName({ method }: IncomingCall, request: Message): string {
	return method === AuthService.method.login ? (request as LoginRequest).username.slice(0, 64) : "";
}
