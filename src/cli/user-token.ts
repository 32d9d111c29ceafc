import { type Command, InvalidArgumentError } from "commander";
import type { Client, Token } from "../sdk/index.js";
import { addExample } from "./example.js";
import { addJsonFlag, type JsonFlag } from "./json-flag.js";
import { printList } from "./print-list.js";
import { localTime } from "./shown-time.js";
import type { Column } from "./table.js";
import type { Terminal } from "./terminal.js";
import { addVerb, onServer } from "./verb.js";

interface OwnerFlag {
	user?: string;
}

interface CreateFlags extends OwnerFlag {
	description?: string;
	days?: number;
}

const dayMs = 24 * 60 * 60 * 1_000;

const columns: readonly Column<Token>[] = [
	{ title: "ID", text: ({ id }) => String(id), align: "right" },
	{ title: "USER", text: ({ username }) => username },
	{ title: "FOR", text: scopeOf },
	{ title: "CREATED", text: ({ creationTime }) => localTime(creationTime) },
	{ title: "ENDS", text: ({ expireTime }) => (expireTime === null ? "after its run" : localTime(expireTime)) },
	{ title: "DESCRIPTION", text: ({ description }) => description, isCuttable: true },
];

/** Adds `millrace user token`, whose subcommands make, list and revoke tokens. */
export function addTokenCommand(user: Command, terminal: Terminal): void {
	const token = user
		.command("token")
		.summary("make, list and revoke tokens")
		.description("Make, list and revoke tokens, by which programs come.");
	addExample(token, "user token list");

	const create = addVerb(
		token,
		"create",
		"make a token for a program, and print it, once",
		'--description "nightly report" --days 90',
	)
		.option("--description <text>", "what it is for")
		.option("--days <number>", "how long it is valid, up to 366 days (default: 30)", days)
		.option("--user <name>", "whose it is (default: yourself)");
	onServer<[], CreateFlags>(create, async (client, _, flags) => {
		const { description = "", days } = flags;
		const made = await client.createToken({
			description,
			...(await ownerOf(client, flags)),
			...(days !== undefined && { expireTime: new Date(Date.now() + days * dayMs) }),
		});
		terminal.say(
			`token ${made.id} of ${made.username}, valid until ${localTime(made.expireTime)}; it is shown only here`,
		);
		// Alone on stdout, for scripts.
		await terminal.print(`${made.secret}\n`);
	});

	const list = addVerb(token, "list", "list the tokens that are valid, the newest first", "", "--user bob").option(
		"--user <name>",
		"only those of this user",
	);
	onServer<[], OwnerFlag & JsonFlag>(addJsonFlag(list, "a line each"), async (client, _, flags) => {
		const tokens = client.listTokens(await ownerOf(client, flags));
		await printList(terminal, flags, tokens, { columns, none: "no tokens" });
	});

	const revoke = addVerb(token, "revoke", "revoke a token; what uses it ends at once", "7").argument(
		"<id>",
		"the token, by its number in the list",
		tokenId,
	);
	onServer<[number]>(revoke, async (client, [id]) => {
		await client.revokeToken(id);
		await terminal.print(`token ${id}: revoked\n`);
	});
}

async function ownerOf(client: Client, { user }: OwnerFlag): Promise<{ userId?: number }> {
	return user === undefined ? {} : { userId: (await client.getUserByName(user)).userId };
}

function scopeOf({ trialId, trialRunId }: Token): string {
	return trialId === null ? "" : `trial ${trialId}${trialRunId === null ? "" : `, run ${trialRunId}`}`;
}

function tokenId(text: string): number {
	if (!/^[1-9]\d{0,8}$/.test(text)) {
		throw new InvalidArgumentError("Give the number of a token, as millrace user token list prints it.");
	}
	return Number(text);
}

function days(text: string): number {
	const value = Number(text);
	if (!/^\d+(\.\d+)?$/.test(text) || value <= 0 || value > 366) {
		throw new InvalidArgumentError("Give a number of days, up to 366.");
	}
	return value;
}
