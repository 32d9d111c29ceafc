import type { Command } from "commander";
import { MillraceError } from "../errors.js";
import type { User } from "../sdk/index.js";
import { addExample } from "./example.js";
import { addJsonFlag, type JsonFlag } from "./json-flag.js";
import { printDescription } from "./print-description.js";
import { printList } from "./print-list.js";
import { localTime } from "./shown-time.js";
import type { Column } from "./table.js";
import type { Terminal } from "./terminal.js";
import { addAuditCommand } from "./user-audit.js";
import { addUserChanges, roleOf, stateOf } from "./user-change.js";
import { addLoginCommands } from "./user-login.js";
import { addTokenCommand } from "./user-token.js";
import { addVerb, onServer } from "./verb.js";

interface ListFlags extends JsonFlag {
	active?: boolean;
	inactive?: boolean;
}

const columns: readonly Column<User>[] = [
	{ title: "ID", text: ({ userId }) => String(userId), align: "right" },
	{ title: "NAME", text: ({ username }) => username, isCuttable: true },
	{ title: "ROLE", text: roleOf },
	{ title: "STATE", text: stateOf, style: ({ active }) => (active ? undefined : "dim") },
	{ title: "REMOTE", text: ({ remote }) => (remote ? "yes" : "") },
	{ title: "CREATED", text: ({ creationTime }) => localTime(creationTime) },
	{ title: "DISPLAY NAME", text: ({ displayName }) => displayName, isCuttable: true },
];

/** Adds `millrace user`, whose subcommands log in, and keep accounts. */
export function addUserCommand(program: Command, terminal: Terminal): void {
	const user = program
		.command("user")
		.summary("log in, and keep accounts and tokens")
		.description("Log in to a server, and keep its accounts and tokens.");
	addExample(user, "user login ada");
	addLoginCommands(user, terminal);

	const list = addVerb(user, "list", "list users in the order of their names", "", "--active")
		.option("--active", "only those that may use the server")
		.option("--inactive", "only those that may not");
	onServer<[], ListFlags>(addJsonFlag(list, "a line each"), async (client, _, flags) => {
		const { active = false, inactive = false } = flags;
		if (active && inactive) {
			throw new MillraceError(
				"invalid_argument",
				"--active and --inactive are both given; leave out both for all users",
			);
		}
		const users = client.listUsers(active || inactive ? { active } : {});
		await printList(terminal, flags, users, { columns, none: "no users" });
	});

	const describe = addVerb(user, "describe", "tell all that is known of a user", "bob").argument("<name>", "the user");
	onServer<[string], JsonFlag>(addJsonFlag(describe, "a document"), async (client, [username], flags) => {
		const one = await client.getUserByName(username);
		await printDescription(terminal, flags, one, [
			{ label: "User", text: String(one.userId) },
			{ label: "Name", text: one.username },
			{ label: "Display name", text: one.displayName },
			{ label: "Role", text: roleOf(one) },
			{ label: "State", text: stateOf(one) },
			{ label: "Comes by", text: one.remote ? "tokens only" : "password and tokens" },
			{ label: "Created", text: localTime(one.creationTime) },
			{ label: "Changed", text: localTime(one.lastUpdatedTime) },
		]);
	});

	addUserChanges(user, terminal);
	addTokenCommand(user, terminal);
	addAuditCommand(user, terminal);
}
