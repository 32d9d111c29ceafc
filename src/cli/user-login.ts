import { timestampDate } from "@bufbuild/protobuf/wkt";
import type { Command } from "commander";
import { dataDirectory } from "../data-directory.js";
import { MillraceError } from "../errors.js";
import { loginNames } from "../sdk/connect.js";
import type { Connection } from "../sdk/connection.js";
import { logIn, logOut } from "../sdk/login.js";
import { keepLogin } from "../sdk/token-file.js";
import { addPasswordFlag, type PasswordFlag, takePasswords } from "./ask-password.js";
import { addJsonFlag, type JsonFlag, toJson } from "./json-flag.js";
import { addServerFlags, namedServer, type ServerFlags, withConnection } from "./server-flags.js";
import { localTime } from "./shown-time.js";
import type { Terminal } from "./terminal.js";
import { addVerb, onServer } from "./verb.js";

/** Adds the verbs by which a person tells a server who it is. */
export function addLoginCommands(user: Command, terminal: Terminal): void {
	const login = addVerb(user, "login", "log in to a server, and keep the token for all your programs", "ada").argument(
		"[name]",
		"who you are; asked for where it is not given",
	);
	addPasswordFlag(addServerFlags(login), "the password").action(
		(name: string | undefined, flags: ServerFlags & PasswordFlag) =>
			// An old token must not stand in the way of a new one.
			withConnection(flags, (connection) => logInTo(connection, name, flags, terminal), { token: "" }),
	);

	const logout = addVerb(user, "logout", "revoke the token that is shown to a server, and forget it", "");
	addServerFlags(logout).action((flags: ServerFlags) =>
		withConnection(flags, async (connection) => {
			if (connection.channel.security.token === undefined) {
				throw new MillraceError("failed_precondition", `no login to the server at ${connection.address} is kept`);
			}
			await logOut(connection);
			await terminal.print(`logged out of ${connection.address}\n`);
		}),
	);

	const whoami = addJsonFlag(addVerb(user, "whoami", "tell who you are to a server", ""), "a document");
	onServer<[], JsonFlag>(whoami, async (client, _, flags) => {
		const self = await client.whoami();
		await terminal.print(flags.json ? `${toJson(self, 2)}\n` : `${self.username}\n`);
	});
}

async function logInTo(
	connection: Connection,
	given: string | undefined,
	flags: ServerFlags & PasswordFlag,
	terminal: Terminal,
): Promise<void> {
	const { address, server } = connection;
	if (!(await server.getServerInfo({})).hasAccounts) {
		throw new MillraceError(
			"failed_precondition",
			`the server at ${address} has no accounts, so nobody has to log in; ` +
				"millrace user create NAME --admin makes the first one",
		);
	}
	const username = given ?? (await terminal.ask(`user name at ${address}`));
	if (!username) {
		throw new MillraceError("invalid_argument", "no user name is given; write millrace user login NAME");
	}
	const [password = ""] = await takePasswords(terminal, flags, [{ what: `password of ${username}` }]);
	const { secret, token } = await logIn(connection, { username, password });
	const expireTime = token?.expireTime === undefined ? null : timestampDate(token.expireTime);
	const directory = namedServer(flags) === undefined ? dataDirectory(flags.data) : undefined;
	const login = { username, token: secret, expireTime: expireTime?.toISOString() ?? null };
	const path = await keepLogin(loginNames(connection, directory), login);
	await terminal.print(
		`logged in to ${address} as ${username} until ${localTime(expireTime)}; the token is in ${path}\n`,
	);
	if (process.env.MILLRACE_TOKEN) {
		terminal.say("MILLRACE_TOKEN is set, and is shown instead of this token; unset it");
	}
}
