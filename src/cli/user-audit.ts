import type { Command } from "commander";
import type { AuditEntry } from "../sdk/index.js";
import { toJson } from "./json-flag.js";
import { addLimitFlags, type LimitFlags, limited } from "./list-flags.js";
import { printList } from "./print-list.js";
import { localTime } from "./shown-time.js";
import type { Column } from "./table.js";
import type { Terminal } from "./terminal.js";
import { addVerb, onServer } from "./verb.js";

interface AuditFlags extends LimitFlags {
	user?: string;
}

const columns: readonly Column<AuditEntry>[] = [
	{ title: "TIME", text: ({ time }) => localTime(time) },
	{ title: "USER", text: ({ username }) => username, isCuttable: true },
	{ title: "METHOD", text: ({ method }) => method.slice(method.indexOf("/") + 1), isCuttable: true },
	{ title: "OUTCOME", text: ({ outcome }) => outcome ?? "", style: styleOf },
	{ title: "FROM", text: ({ peer }) => peer, isCuttable: true },
	{ title: "ABOUT", text: aboutOf, isCuttable: true },
];

/** Adds `millrace user audit`: it lists what users have done. */
export function addAuditCommand(user: Command, terminal: Terminal): void {
	const audit = addVerb(
		user,
		"audit",
		"list what users have done, the newest first: who, what, from where, and how it ended",
		"--user bob --limit 20",
	).option("--user <name>", "only what this user has done");
	onServer<[], AuditFlags>(addLimitFlags(audit), async (client, _, flags) => {
		const { user: username } = flags;
		if (username !== undefined) {
			// The log of a name that is not there would be as empty as that of a user who has done nothing.
			await client.getUserByName(username);
		}
		const entries = client.listAuditLog(username === undefined ? {} : { username });
		await printList(terminal, flags, limited(entries, flags), { columns, none: "nothing was done" });
	});
}

/** What a line is about, as `key=value`. */
function aboutOf({ subject }: AuditEntry): string {
	return Object.entries(subject)
		.map(([key, value]) => `${key}=${typeof value === "string" ? value : toJson(value)}`)
		.join(" ");
}

function styleOf({ outcome }: AuditEntry) {
	return outcome === "ok" ? undefined : "yellow";
}
