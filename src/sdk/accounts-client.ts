import type { User as UserMessage } from "../gen/millrace/v1/auth_pb.js";
import { assertNumber } from "./assert-number.js";
import { assertString } from "./assert-string.js";
import type { AsyncList } from "./async-list.js";
import { type AuditEntry, auditLog, type ListAuditLogOptions } from "./audit-log.js";
import { connect } from "./connect.js";
import type { Connection } from "./connection.js";
import { Experiment, fetchExperiment } from "./experiment.js";
import { LazyConnection } from "./lazy-connection.js";
import { assertLogin, type LoginOptions, logIn, logOut, namesServer } from "./login.js";
import { experimentMethods, userMethods } from "./method-kinds.js";
import { type Pending, pending } from "./pending.js";
import type { Session } from "./session.js";
import {
	type CreatedToken,
	type CreateTokenOptions,
	createToken,
	type ListTokensOptions,
	type Token,
	tokenList,
} from "./token.js";
import { type CreateUserOptions, createUser, fetchUser, type ListUsersOptions, User, userList } from "./user.js";

/** The part of a Client that is about who uses the server: the connection that shows it, accounts, and tokens. */
export abstract class AccountsClient {
	#connection: LazyConnection;
	/** What objects of the server share. Those from before a login to another server keep theirs. */
	#session: Session;
	/** The connections to other servers, from before such a login. */
	readonly #earlier: LazyConnection[] = [];

	/**
	 * @internal
	 * @param open Opens the connection, at the first use.
	 */
	constructor(open: () => Promise<Connection>) {
		this.#connection = new LazyConnection(open);
		this.#session = sessionOf(this.#connection);
	}

	/** @internal What the objects of the server that is used now share. */
	protected get session(): Session {
		return this.#session;
	}

	/**
	 * Logs in: this client shows a token for seven days, or until `logout`. It is kept in memory only;
	 * `millrace user login` keeps one for all programs of a person. With `server`, `dataDirectory` or `tls` the client uses
	 * another server from then on; objects of the one before stay with it.
	 *
	 * Throws `unauthenticated` if there is no such user, or the password is another; `permission_denied` if the user is
	 * not active; `resource_exhausted` after ten wrong passwords, for some seconds.
	 *
	 * Python: login(master, user, password, cert_path, cert_name, noverify)
	 *
	 * @example
	 * ```ts
	 * import { client } from "millrace";
	 *
	 * await client.login({ server: "gpu-box:8090", username: "ada", password: process.env.PASSWORD ?? "" });
	 * console.log(await client.getSessionUsername());
	 * ```
	 */
	async login(options: LoginOptions): Promise<User> {
		assertLogin(options);
		const isElsewhere = namesServer(options);
		const connection = isElsewhere ? new LazyConnection(() => connect(options)) : this.#connection;
		let user: UserMessage | undefined;
		try {
			({ user } = await logIn(await connection.get(), options));
		} catch (error) {
			if (isElsewhere) {
				await connection.close();
			}
			throw error;
		}
		if (isElsewhere) {
			this.#earlier.push(this.#connection);
			this.#connection = connection;
			this.#session = sessionOf(connection);
		}
		return new User(this.#session, user as UserMessage);
	}

	/**
	 * Revokes the token that this client shows, also where it is that of MILLRACE_TOKEN or of `millrace user login`. The
	 * client shows none from then on.
	 *
	 * Throws `failed_precondition` if it shows none, or a worker's.
	 *
	 * Python: logout()
	 */
	async logout(): Promise<void> {
		await logOut(await this.#connection.get());
	}

	/**
	 * Returns the user who calls; in a worker the one who started its run. On a server without accounts everyone is
	 * "determined".
	 *
	 * Python: whoami()
	 */
	whoami(): Pending<User> {
		return pending(async () => {
			const { auth } = await this.#session.connection();
			return new User(this.#session, (await auth.getMe({})).user as UserMessage);
		}, userMethods);
	}

	/**
	 * Returns the name of the user who calls.
	 *
	 * Python: get_session_username()
	 */
	async getSessionUsername(): Promise<string> {
		return (await this.whoami()).username;
	}

	/**
	 * Creates a user. For admins. The first one on a server has to be an admin with a password, and anybody may make it;
	 * from then on the server has accounts, and asks every caller for a token, this client too: log in.
	 *
	 * Throws `already_exists` if the name is taken; `invalid_argument` if it has other than 1 to 64 letters, digits and
	 * characters of "._@+-", or the password is too short; `failed_precondition` if the first one is no admin with a
	 * password.
	 *
	 * Python: create_user(username, admin, password, remote)
	 *
	 * @example
	 * ```ts
	 * import { client } from "millrace";
	 *
	 * const bob = await client.createUser("bob", { password: process.env.PASSWORD ?? "", displayName: "Bob" });
	 * await bob.deactivate();
	 * ```
	 */
	createUser(username: string, options: CreateUserOptions = {}): Promise<User> {
		return createUser(this.#session, username, options);
	}

	/**
	 * Returns a user by id.
	 *
	 * Throws `not_found` if there is none.
	 *
	 * Python: get_user_by_id(user_id)
	 */
	getUserById(userId: number): Pending<User> {
		return pending(async () => {
			assertNumber(userId, "the user id");
			return fetchUser(this.#session, { case: "userId", value: userId });
		}, userMethods);
	}

	/**
	 * Returns a user by name.
	 *
	 * Throws `not_found` if there is none.
	 *
	 * Python: get_user_by_name(user_name)
	 */
	getUserByName(username: string): Pending<User> {
		return pending(async () => {
			assertString(username, "the username");
			return fetchUser(this.#session, { case: "username", value: username });
		}, userMethods);
	}

	/**
	 * Lists users in the order of their names.
	 *
	 * Reading throws `invalid_argument` for an option that is not of its type.
	 *
	 * Python: list_users(active)
	 */
	listUsers(options: ListUsersOptions = {}): AsyncList<User> {
		return userList(this.#session, options);
	}

	/**
	 * Makes a token, for a program: with it in MILLRACE_TOKEN it may do what the user may.
	 *
	 * Throws `permission_denied` for one of another user by one who is no admin; `not_found` if there is no such user;
	 * `invalid_argument` if it would not end within a year, or would outlive the token that this client shows, unless that
	 * is one of a login; `failed_precondition` if the user is not active, or the
	 * server has no accounts.
	 *
	 * @example
	 * ```ts
	 * import { client } from "millrace";
	 *
	 * const expireTime = new Date(Date.now() + 24 * 60 * 60 * 1000);
	 * const { id, secret } = await client.createToken({ description: "nightly report", expireTime });
	 * console.log(`MILLRACE_TOKEN=${secret}`);
	 * await client.revokeToken(id);
	 * ```
	 */
	createToken(options: CreateTokenOptions = {}): Promise<CreatedToken> {
		return createToken(this.#session, options);
	}

	/**
	 * Lists the tokens that are valid, the newest first: one's own, or for admins those of all.
	 *
	 * Reading throws `permission_denied` for those of another user by one who is no admin.
	 */
	listTokens(options: ListTokensOptions = {}): AsyncList<Token> {
		return tokenList(this.#session, options);
	}

	/**
	 * Revokes a token, one's own or for admins any. What calls with it ends at once.
	 *
	 * Throws `not_found` if there is none.
	 */
	async revokeToken(id: number): Promise<void> {
		assertNumber(id, "the token id");
		const { auth } = await this.#connection.get();
		await auth.revokeToken({ tokenId: id });
	}

	/**
	 * Lists the audit log, the newest line first: each write that a user has asked for. For admins.
	 *
	 * @example
	 * ```ts
	 * import { client } from "millrace";
	 *
	 * for await (const { time, username, method, subject, outcome } of client.listAuditLog({ username: "bob" })) {
	 * 	console.log(time, username, method, subject, outcome);
	 * }
	 * ```
	 */
	listAuditLog(options: ListAuditLogOptions = {}): AsyncList<AuditEntry> {
		return auditLog(this.#session, options);
	}

	/** Ends the connection. Calls in flight fail with `cancelled`, later ones with `failed_precondition`. */
	async close(): Promise<void> {
		await Promise.all([this.#connection, ...this.#earlier].map((connection) => connection.close()));
	}
}

function sessionOf(connection: LazyConnection): Session {
	const session: Session = {
		connection: () => connection.get(),
		getExperiment: (id) =>
			pending(async () => {
				assertNumber(id, "the experiment id");
				return new Experiment(session, await fetchExperiment(session, id));
			}, experimentMethods),
	};
	return session;
}
