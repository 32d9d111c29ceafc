import type { Command } from "commander";
import { dataDirectory } from "../data-directory.js";
import { serverFlags } from "../launcher/resume-command.js";
import { Client, type CreateUserOptions, type User } from "../sdk/index.js";
import { addPasswordFlag, type PasswordFlag, takePasswords } from "./ask-password.js";
import { addServerFlags, namedServer, type ServerFlags, withConnection } from "./server-flags.js";
import type { Terminal } from "./terminal.js";
import { tlsOf } from "./tls-flags.js";
import { addVerb, onServer } from "./verb.js";

interface CreateFlags extends ServerFlags, PasswordFlag {
	admin?: boolean;
	remote?: boolean;
	displayName?: string;
}

/** Adds the verbs that make a user, and change one. */
export function addUserChanges(user: Command, terminal: Terminal): void {
	const create = addVerb(user, "create", "make a user; the first one begins the accounts of a server", "ada --admin")
		.argument("<name>", 'the name, which is for good: letters, digits and "._@+-"')
		.option("--admin", "a user who manages accounts")
		.option("--remote", "a user without a password, who comes only by tokens that an admin makes")
		.option("--display-name <text>", "the name that is shown to people");
	addPasswordFlag(addServerFlags(create), "the password").action((name: string, flags: CreateFlags) =>
		createUser(name, flags, terminal),
	);

	const addChange = (name: string, description: string, change: (one: User) => Promise<void>) =>
		onServer<[string]>(
			addVerb(user, name, description, "bob").argument("<name>", "the user"),
			async (client, [username]) => {
				const one = await client.getUserByName(username);
				await change(one);
				await terminal.print(`user ${username}: ${roleOf(one)}, ${stateOf(one)}\n`);
			},
		);
	addChange("activate", "let a user use the server again", (one) => one.activate());
	addChange("deactivate", "keep a user out: all tokens are revoked, and what uses them ends at once", (one) =>
		one.deactivate(),
	);
	addChange("grant-admin", "let a user manage accounts", (one) => one.setAdmin(true));
	addChange("revoke-admin", "let a user manage accounts no longer", (one) => one.setAdmin(false));

	const displayName = addVerb(user, "change-display-name", "change the name that is shown to people", 'bob "Bob B."')
		.argument("<name>", "the user")
		.argument("<text>", "the name to show");
	onServer<[string, string]>(displayName, async (client, [username, text]) => {
		await client.getUserByName(username).changeDisplayName(text);
		await terminal.print(`user ${username}: display name changed\n`);
	});

	const password = addVerb(
		user,
		"change-password",
		"change a password; the user's other tokens are revoked",
		"",
		"bob",
	).argument("[name]", "the user; yourself where it is not given");
	addPasswordFlag(password, "the present password (of yourself), then the new one, a line each,");
	onServer<[string | undefined], PasswordFlag>(password, async (client, [name], flags) => {
		const self = await client.whoami();
		const username = name ?? self.username;
		const wanted = [
			...(username === self.username ? [{ what: `present password of ${username}` }] : []),
			{ what: `new password of ${username}`, isNew: true },
		];
		const passwords = await takePasswords(terminal, flags, wanted);
		const [oldPassword = "", newPassword = ""] = passwords.length === 2 ? passwords : ["", ...passwords];
		await client.getUserByName(username).changePassword(newPassword, { oldPassword });
		await terminal.print(`user ${username}: password changed\n`);
	});
}

/** What a user may do. */
export function roleOf({ admin }: User): string {
	return admin ? "admin" : "user";
}

/** Whether a user may use the server. */
export function stateOf({ active }: User): string {
	return active ? "active" : "inactive";
}

async function createUser(username: string, flags: CreateFlags, terminal: Terminal): Promise<void> {
	const { admin = false, remote = false, displayName } = flags;
	await withConnection(
		flags,
		async (connection) => {
			const { hasAccounts } = await connection.server.getServerInfo({});
			const [password] = remote
				? []
				: await takePasswords(terminal, flags, [{ what: `password of ${username}`, isNew: true }]);
			const options: CreateUserOptions = {
				...{ admin, remote },
				...(password !== undefined && { password }),
				...(displayName !== undefined && { displayName }),
			};
			const client = new Client({ connection });
			const made = await client.createUser(username, options);
			await terminal.print(`user ${username}: ${roleOf(made)}, ${stateOf(made)}\n`);
			if (!hasAccounts) {
				const place = { dataDirectory: dataDirectory(flags.data), server: namedServer(flags), tls: tlsOf(flags) };
				terminal.say(
					`${username} is the first account of the server at ${connection.address}, which now asks for tokens:`,
				);
				terminal.say("programs and runs that show none are refused, those that are under way too");
				terminal.say(["log in: npx millrace user login", username, ...serverFlags(place)].join(" "));
			}
		},
		{ mayCreate: true },
	);
}
