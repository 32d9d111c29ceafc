import { randomUUID } from "node:crypto";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import type { User as UserMessage } from "../gen/millrace/v1/auth_pb.js";
import type { GetUserRequestSchema, UpdateUserRequestSchema } from "../gen/millrace/v1/auth_service_pb.js";
import { assertBoolean } from "./assert-boolean.js";
import { assertKnownOptions } from "./assert-options.js";
import { assertSecret } from "./assert-secret.js";
import { assertString } from "./assert-string.js";
import { type AsyncList, pagedList } from "./async-list.js";
import type { Connection } from "./connection.js";
import type { FieldsOf } from "./fields.js";
import type { Session } from "./session.js";

/** Options of `client.createUser`. */
export interface CreateUserOptions {
	/** Whether the user manages accounts, and may delete what others have made. Default: false. */
	readonly admin?: boolean;
	/** The password, 8 to 256 characters. Required, unless the user is remote. */
	readonly password?: string;
	/** Whether the user has no password, and comes only by tokens that an admin makes. Default: false. */
	readonly remote?: boolean;
	/** The name that is shown to people, at most 128 characters. Default: none. */
	readonly displayName?: string;
}

/** Options of `client.listUsers`. */
export interface ListUsersOptions {
	/** Only users that are active, or only those that are not. Default: both. */
	readonly active?: boolean;
}

/** Options of `user.changePassword`. */
export interface ChangePasswordOptions {
	/** The present password. Required for a new one of one's own. */
	readonly oldPassword?: string;
}

/**
 * Someone who may use the server: a person, or a program. From `client.whoami`, `client.getUserByName`,
 * `client.getUserById`, `client.listUsers` or `client.createUser`. The name is for good: what the user made is
 * remembered by it.
 *
 * Python: User
 */
export class User {
	/** The id. */
	declare readonly userId: number;
	/** The name, unique among all users. */
	declare readonly username: string;
	/** The name that is shown to people; "" where none was given. */
	declare readonly displayName: string;
	/** Whether the user manages accounts, and may delete what others have made. */
	declare readonly admin: boolean;
	/** Whether the user may use the server. */
	declare readonly active: boolean;
	/** Whether the user has no password, and comes only by tokens that an admin makes. */
	declare readonly remote: boolean;
	/** When the account was made. Ours. */
	declare readonly creationTime: Date;
	/** When it was last changed. Ours. */
	declare readonly lastUpdatedTime: Date;

	readonly #session: Session;

	/** @internal For the SDK's own use. */
	constructor(session: Session, message: UserMessage) {
		this.#session = session;
		Object.assign(this, fieldsOf(message));
	}

	/**
	 * Changes the name that is shown to people, of at most 128 characters: one's own, or for admins anyone's.
	 *
	 * Python: change_display_name(display_name)
	 */
	async changeDisplayName(displayName: string): Promise<void> {
		assertString(displayName, "displayName");
		await this.#update({ displayName });
	}

	/**
	 * Changes the password, 8 to 256 characters: one's own, or for admins anyone's. All tokens of the user are revoked but
	 * the one that this client shows. A remote user is then no longer one.
	 *
	 * Throws `permission_denied` if `oldPassword` is wrong, `resource_exhausted` after ten wrong ones, for some seconds.
	 *
	 * Python: change_password(new_password)
	 */
	async changePassword(newPassword: string, options: ChangePasswordOptions = {}): Promise<void> {
		assertKnownOptions(options, "changePassword", ["oldPassword"], { isSecret: true });
		assertSecret(newPassword, "newPassword");
		const { oldPassword = "" } = options;
		assertSecret(oldPassword, "oldPassword");
		await this.#update({ password: newPassword, oldPassword });
	}

	/**
	 * Lets the user use the server again. For admins.
	 *
	 * Python: activate()
	 */
	activate(): Promise<void> {
		return this.#update({ active: true });
	}

	/**
	 * Keeps the user out, at once: all tokens are revoked, and what calls with them ends. For admins.
	 *
	 * Throws `failed_precondition` if no active admin with a password would be left.
	 *
	 * Python: deactivate()
	 */
	deactivate(): Promise<void> {
		return this.#update({ active: false });
	}

	/**
	 * Says whether the user manages accounts. For admins.
	 *
	 * Throws `failed_precondition` if no active admin with a password would be left.
	 */
	async setAdmin(admin: boolean): Promise<void> {
		assertBoolean(admin, "admin");
		await this.#update({ admin });
	}

	/**
	 * Fetches the user again and updates this object.
	 *
	 * Python: reload()
	 */
	reload(): Promise<void> {
		return this.#change((auth) => auth.getUser({ user: { case: "userId", value: this.userId } }));
	}

	#update(change: MessageInitShape<typeof UpdateUserRequestSchema>): Promise<void> {
		const request = { ...change, requestId: randomUUID(), userId: this.userId };
		return this.#change((auth) => auth.updateUser(request));
	}

	async #change(call: (auth: Connection["auth"]) => Promise<{ user?: UserMessage | undefined }>): Promise<void> {
		const { auth } = await this.#session.connection();
		Object.assign(this, fieldsOf((await call(auth)).user as UserMessage));
	}
}

/** Fetches a user by id or name. Throws `not_found` if there is none. */
export async function fetchUser(
	session: Session,
	user: NonNullable<MessageInitShape<typeof GetUserRequestSchema>["user"]>,
): Promise<User> {
	const { auth } = await session.connection();
	return new User(session, (await auth.getUser({ user })).user as UserMessage);
}

/** Creates a user, as `client.createUser` does. */
export async function createUser(session: Session, username: string, options: CreateUserOptions): Promise<User> {
	// Who takes it for Python gives the password as the third argument.
	assertKnownOptions(options, "createUser", ["admin", "password", "remote", "displayName"], { isSecret: true });
	assertString(username, "username");
	const { admin = false, password = "", remote = false, displayName = "" } = options;
	assertBoolean(admin, "admin");
	assertSecret(password, "password");
	assertBoolean(remote, "remote");
	assertString(displayName, "displayName");
	const { auth } = await session.connection();
	const request = { requestId: randomUUID(), username, admin, password, remote, displayName };
	return new User(session, (await auth.createUser(request)).user as UserMessage);
}

/** Lists users in the order of their names. Reading throws `invalid_argument` for an option that is not of its type. */
export function userList(session: Session, options: ListUsersOptions): AsyncList<User> {
	return pagedList(async (page) => {
		assertKnownOptions(options, "listUsers", ["active"]);
		const { active } = options;
		if (active !== undefined) {
			assertBoolean(active, "active");
		}
		const { auth } = await session.connection();
		const { users, nextPageToken } = await auth.listUsers({ ...page, ...(active !== undefined && { active }) });
		return { items: users.map((message) => new User(session, message)), nextPageToken };
	});
}

function fieldsOf(message: UserMessage): FieldsOf<User> {
	return {
		userId: message.id,
		username: message.username,
		displayName: message.displayName,
		admin: message.admin,
		active: message.active,
		remote: message.remote,
		creationTime: message.createTime ? timestampDate(message.createTime) : new Date(0),
		lastUpdatedTime: message.updateTime ? timestampDate(message.updateTime) : new Date(0),
	};
}
