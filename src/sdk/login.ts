import { randomUUID } from "node:crypto";
import { isMillraceError } from "../errors.js";
import type { LoginResponse } from "../gen/millrace/v1/auth_service_pb.js";
import { assertKnownOptions } from "./assert-options.js";
import { assertSecret } from "./assert-secret.js";
import { assertString } from "./assert-string.js";
import type { ServerChoice } from "./connect.js";
import type { Connection } from "./connection.js";
import { assertTls } from "./tls-options.js";
import { forgetToken } from "./token-file.js";

/** Who logs in, and where. */
export interface LoginOptions extends Omit<ServerChoice, "token"> {
	/** The user's name. */
	readonly username: string;
	/** The password. */
	readonly password: string;
}

/** Throws `invalid_argument` if the options of a login cannot be what they are. */
export function assertLogin(options: LoginOptions): void {
	assertKnownOptions(options, "login", ["server", "username", "password", "dataDirectory", "tls"], { isSecret: true });
	const { server, username, password, dataDirectory, tls } = options;
	assertString(username, "username");
	assertSecret(password, "password");
	for (const [name, value] of Object.entries({ server, dataDirectory })) {
		if (value !== undefined) {
			assertString(value, name);
		}
	}
	assertTls(tls);
}

/** Whether a login is to another server than the one that is used. */
export function namesServer({ server, dataDirectory, tls }: LoginOptions): boolean {
	return server !== undefined || dataDirectory !== undefined || tls !== undefined;
}

/** Changes a name and a password into a token, which the connection shows from then on. Returns it, and whose it is. */
export async function logIn(
	{ auth, channel }: Connection,
	{ username, password }: Pick<LoginOptions, "username" | "password">,
): Promise<LoginResponse> {
	const answer = await auth.login({ requestId: randomUUID(), username, password });
	channel.security = { ...channel.security, token: answer.secret };
	return answer;
}

/**
 * Revokes the token that the connection shows, which then shows none. A token that is no longer valid is only forgotten.
 *
 * Throws `failed_precondition` if it shows none, or a worker's.
 */
export async function logOut({ auth, channel }: Connection): Promise<void> {
	const { token } = channel.security;
	try {
		await auth.logout({});
	} catch (error) {
		// So does the repetition of a call whose answer was lost.
		if (token === undefined || !isMillraceError(error, "unauthenticated")) {
			throw error;
		}
	}
	channel.security = { ...channel.security, token: undefined };
	if (token !== undefined) {
		await forgetToken(token);
	}
}
