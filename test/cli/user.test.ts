import assert from "node:assert/strict";
import { chmodSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, beforeEach, describe, it } from "node:test";
import { TrialService } from "../../src/gen/millrace/v1/trial_service_pb.js";
import { Client } from "../../src/sdk/index.js";
import { tokenFile } from "../../src/sdk/token-file.js";
import type { Surroundings } from "../support/kept-terminal.js";
import { runInProcess } from "../support/run-command-line.js";
import { startServerWithAccounts } from "../support/start-server-with-accounts.js";
import { startTestServer } from "../support/start-test-server.js";
import { tempDir } from "../support/temp-dir.js";
import { passwords } from "../support/test-passwords.js";

const before = { ...process.env };

after(() => {
	process.env = before;
});

/** Runs `millrace user` with the words of a line. */
function user(address: string, line: string, surroundings?: Surroundings) {
	return runInProcess(["user", ...line.split(" "), "--server", address], surroundings);
}

const asksForToken =
	"millrace: this server has accounts; log in by `millrace user login`, or put a token into MILLRACE_TOKEN\n";

describe("millrace user", { timeout: 60_000 }, async () => {
	const server = await startServerWithAccounts();
	/** What nobody shows. */
	const files = tempDir();
	beforeEach(() => {
		// Of a person who has never logged in.
		process.env = { ...before, XDG_CONFIG_HOME: tempDir(), MILLRACE_TOKEN: "" };
	});
	const as = (token: string) => {
		process.env.MILLRACE_TOKEN = token;
	};

	it("makes the first account, and says what follows; its user logs in, and out", async () => {
		const { address } = await startTestServer();
		const password = passwords.root;
		const early = await user(address, "login root", { answers: [password] });
		assert.equal(early.code, 2);
		assert.match(
			early.stderr,
			/has no accounts, so nobody has to log in; millrace user create NAME --admin makes the first/,
		);
		const typed = "millrace: password of root: \nmillrace: password of root again: \n";
		assert.deepEqual(await user(address, "create root --admin", { answers: [password, password] }), {
			code: 0,
			stdout: "user root: admin, active\n",
			stderr:
				`${typed}millrace: root is the first account of the server at ${address}, which now asks for tokens:\n` +
				"millrace: programs and runs that show none are refused, those that are under way too\n" +
				`millrace: log in: npx millrace user login root --server ${address}\n`,
		});
		assert.deepEqual(await user(address, "list"), { code: 2, stdout: "", stderr: asksForToken });

		const login = await user(address, "login", { answers: ["root", password] });
		assert.equal(login.stderr, `millrace: user name at ${address}: millrace: password of root: \n`);
		assert.match(
			login.stdout,
			new RegExp(
				`^logged in to ${address} as root until \\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d; the token is in ${tokenFile()}\n$`,
			),
		);
		assert.deepEqual(await user(address, "whoami"), { code: 0, stdout: "root\n", stderr: "" });
		assert.equal(JSON.parse((await user(address, "whoami --json")).stdout).admin, true);
		const { logins } = JSON.parse(readFileSync(tokenFile(), "utf8"));
		assert.deepEqual(Object.keys(logins), [address]);

		assert.deepEqual(await user(address, "logout"), { code: 0, stdout: `logged out of ${address}\n`, stderr: "" });
		assert.deepEqual(JSON.parse(readFileSync(tokenFile(), "utf8")), { logins: {} });
		const again = await user(address, "logout");
		assert.deepEqual(again, {
			code: 2,
			stdout: "",
			stderr: `millrace: no login to the server at ${address} is kept\n`,
		});
		process.env.MILLRACE_TOKEN = logins[address].token;
		const revoked = await user(address, "whoami");
		assert.deepEqual(revoked, { code: 2, stdout: "", stderr: "millrace: the token was revoked; log in again\n" });
	});

	it("logs in with a password that is piped into it, in the place of an old token, and warns of MILLRACE_TOKEN", async () => {
		as("mlr_of_no_use_any_more");
		const login = await user(server.address, "login ada --password-stdin", { input: `${passwords.ada}\n` });
		assert.equal(login.code, 0, login.stderr);
		assert.equal(login.stderr, "millrace: MILLRACE_TOKEN is set, and is shown instead of this token; unset it\n");
		as("");
		assert.equal((await user(server.address, "whoami")).stdout, "ada\n");
		const wrong = await user(server.address, "login ada --password-stdin", { input: "a wrong password" });
		assert.deepEqual(wrong, { code: 2, stdout: "", stderr: "millrace: no user has this name and password\n" });
		assert.equal((await user(server.address, "whoami")).stdout, "ada\n", "the login of before is kept");
	});

	it("refuses a file of tokens that others can read, and says what to do", async () => {
		await user(server.address, "login ada --password-stdin", { input: passwords.ada });
		chmodSync(tokenFile(), 0o644);
		const end = await user(server.address, "whoami");
		assert.equal(end.code, 2);
		assert.match(end.stderr, new RegExp(`mode 0644\\).*: chmod 600 ${tokenFile()}\n$`));
	});

	const cases: readonly (readonly [what: string, line: string, surroundings: Surroundings, says: RegExp])[] = [
		[
			"nobody to ask",
			"login ada",
			{},
			/nobody can be asked here for the password of ada; pipe it .*--password-stdin\n$/,
		],
		["no name", "login", {}, /no user name is given; write millrace user login NAME\n$/],
		["no line", "login ada --password-stdin", {}, /standard input has 0 lines; give the password of ada, on a line/],
		[
			"two lines",
			"login ada --password-stdin",
			{ input: "one\ntwo\n" },
			/standard input has 2 lines; give the password of ada, on a line of its own\n$/,
		],
		["an empty line", "login ada --password-stdin", { input: "\n" }, /no password of ada is given; nothing is done\n$/],
		["a terminal to read from", "login ada --password-stdin", { answers: [] }, /which would show the password; leave/],
		["the end of the input", "login ada", { answers: [] }, /no password of ada is given; nothing is done\n$/],
		[
			"another word the second time",
			"create eve",
			{ answers: ["a good password", "another one"] },
			/typed differ; nothing/,
		],
		["a password that is too short", "create eve", { answers: ["short"] }, /has 5 characters; take at least 8\n$/],
		["a password on the command line", "login ada hunter22", {}, /too many arguments/],
		["both kinds of users", "list --active --inactive", {}, /--active and --inactive are both given/],
		["no number of days", "token create --days x", {}, /Give a number of days, up to 366/],
		["no number of a token", "token revoke first", {}, /Give the number of a token/],
	];
	for (const [what, line, surroundings, says] of cases) {
		it(`exits 2 for ${what}`, async () => {
			as(line.startsWith("login") ? "" : server.ada);
			const end = await user(server.address, line, surroundings);
			assert.deepEqual([end.code, end.stdout], [2, ""]);
			assert.match(end.stderr, says);
			assert.doesNotMatch(end.stderr, /hunter22|good password/);
		});
	}

	it("makes users, changes them, and lets nobody do so who is no admin", async () => {
		as(server.ada);
		const run = async (line: string, surroundings?: Surroundings) => {
			const { code, stdout, stderr } = await user(server.address, line, surroundings);
			assert.deepEqual([code, stderr], [0, ""], line);
			return stdout;
		};
		const input = "the password of carol\n";
		assert.equal(
			await run("create carol --display-name Carol --password-stdin", { input }),
			"user carol: user, active\n",
		);
		assert.equal(await run("create robot --remote"), "user robot: user, active\n");
		assert.equal(await run("grant-admin carol"), "user carol: admin, active\n");
		assert.equal(await run("revoke-admin carol"), "user carol: user, active\n");
		assert.equal(await run("deactivate robot"), "user robot: user, inactive\n");
		assert.match(await run("list --inactive"), /^ID +NAME +ROLE .*\n +\d+ +robot +user +inactive +yes .*\n$/);
		assert.equal(await run("activate robot"), "user robot: user, active\n");
		assert.equal(await run("change-display-name carol C."), "user carol: display name changed\n");
		assert.equal(JSON.parse(await run("describe carol --json")).displayName, "C.");
		assert.match(await run("describe robot"), /^Comes by: +tokens only$/m);
		const change = { input: "the second password\n" };
		assert.equal(await run("change-password carol --password-stdin", change), "user carol: password changed\n");
		assert.deepEqual(
			(await run("list --json"))
				.trim()
				.split("\n")
				.map((line) => JSON.parse(line).username),
			["ada", "bob", "carol", "determined", "robot"],
		);

		as("");
		await user(server.address, "login carol --password-stdin", change);
		const own = { answers: ["the second password", "the third password", "the third password"] };
		assert.equal((await user(server.address, "change-password", own)).stdout, "user carol: password changed\n");
		const refused = await user(server.address, "deactivate bob");
		assert.deepEqual([refused.code, refused.stdout], [1, ""]);
		assert.match(refused.stderr, /only admins change other users/);
	});

	it("makes, lists and revokes tokens", async () => {
		as(server.bob);
		const made = await runInProcess([
			"user",
			"token",
			"create",
			"--description",
			"nightly report",
			"--days",
			"1",
			"--server",
			server.address,
		]);
		assert.match(made.stdout, /^mlr_\S+\n$/);
		assert.match(made.stderr, /^millrace: token \d+ of bob, valid until .*; it is shown only here\n$/);
		const [, id = ""] = /token (\d+)/.exec(made.stderr) ?? [];
		assert.match(
			(await user(server.address, "token list")).stdout,
			new RegExp(`^ *${id} +bob .* nightly report$`, "m"),
		);
		as(server.ada);
		const ofBob = (await user(server.address, "token list --user bob --json")).stdout;
		assert.ok(ofBob.split("\n").some((line) => line !== "" && String(JSON.parse(line).id) === id));
		assert.doesNotMatch(ofBob, /mlr_/);
		as(made.stdout.trim());
		assert.equal((await user(server.address, "whoami")).stdout, "bob\n");
		assert.equal((await user(server.address, `token revoke ${id}`)).stdout, `token ${id}: revoked\n`);
		assert.match((await user(server.address, "whoami")).stderr, /the token was revoked; log in again\n$/);
	});

	it("lists what users have done, for admins", async () => {
		as(server.bob);
		const bob = new Client({ server: server.address, token: server.bob });
		after(() => bob.close());
		await bob.createModel("audited by the command");
		const refused = await user(server.address, "audit");
		assert.deepEqual([refused.code, refused.stdout], [1, ""]);
		as(server.ada);
		const { stdout } = await user(server.address, "audit --user bob --limit 1");
		assert.match(
			stdout,
			/^TIME +USER +METHOD +OUTCOME +FROM +ABOUT\n\d{4}-\S+ \S+ +bob +CreateModel .* 127\.0\.0\.1:\d+ +name=audited by the command\n$/,
		);
		const nobody = { code: 2, stdout: "", stderr: 'millrace: user "bbo" not found\n' };
		assert.deepEqual(await user(server.address, "audit --user bbo"), nobody);
	});

	it("gives the trials of other launchers tokens for their workers", async () => {
		as(server.bob);
		const path = join(files, "conf.yaml");
		writeFileSync(path, JSON.stringify({ name: "test" }));
		const created = await runInProcess(["trial", "create", path, "--server", server.address]);
		const id = created.stdout.trim();
		const hint = `workers that millrace run does not start need a token in MILLRACE_TOKEN: npx millrace trial token ${id} --server ${server.address}\n`;
		assert.ok(created.stderr.endsWith(hint), created.stderr);
		const made = await runInProcess(["trial", "token", id, "--server", server.address]);
		assert.match(
			made.stderr,
			new RegExp(`for the workers of trial ${id} until .*, in MILLRACE_TOKEN; it is shown only here\n$`),
		);
		const trials = server.client(TrialService, made.stdout.trim());
		await trials.updateTrialMetadata({ requestId: "x", trialId: Number(id), metadata: {} });
		await assert.rejects(trials.createTrial({ experimentId: 1 }), /CreateTrial is not for workers/);
	});
});
