import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { isMillraceError } from "../../src/errors.js";
import { Client } from "../../src/sdk/index.js";
import { tokenFile } from "../../src/sdk/token-file.js";
import { filesBelow, findSecrets, type Holder } from "../support/find-secrets.js";
import { assertNoToken, leftSecrets } from "../support/left-secrets.js";
import { type CommandEnd, runMillrace, startMillrace } from "../support/start-command.js";
import { tempDir } from "../support/temp-dir.js";
import { passwords } from "../support/test-passwords.js";

const secrets: Record<string, string> = {
	"ada's password": "correct/horse+battery?staple",
	"a wrong password": "incorrect horse bätterie",
	"bob's first password": "tr0ub4dor&3 of bob",
	"bob's second password": "Tr0ub4dor&4 of bob",
};

describe("findSecrets", () => {
	it("finds a secret in each form, in the middle of others", () => {
		const secret = "correct/horse+battery?staple";
		for (const [form, text] of [
			["as it is", `x${secret}y`],
			["in base64", Buffer.from(`Basic ada:${secret}!`).toString("base64")],
			["in base64", Buffer.from(`ada:${secret}!!`).toString("base64url")],
			["in base64", Buffer.from(`da:${secret}`).toString("base64")],
			["in hex", Buffer.from(`..${secret}..`).toString("hex").toUpperCase()],
			["in a URL", `?password=${encodeURIComponent(secret)}`],
		] as const) {
			const found = findSecrets([{ name: "it", content: Buffer.from(text) }], { secret });
			assert.ok(found.includes(`it has secret ${form}`), `${form}: ${found}`);
		}
		assert.deepEqual(findSecrets([{ name: "it", content: Buffer.from("correct horse") }], { secret }), []);
	});
});

describe("leftSecrets", () => {
	it("finds tokens and passwords in whatever a test leaves, but in the file of a login", () => {
		const directory = tempDir({ mayHoldSecrets: true });
		mkdirSync(join(directory, "deep"));
		const token = `mlr_${"A-b_9".repeat(9).slice(0, 43)}`;
		writeFileSync(join(directory, "tokens.json"), token);
		writeFileSync(join(directory, "short.log"), token.slice(0, -1));
		assert.deepEqual(leftSecrets(directory), []);
		writeFileSync(join(directory, "deep", "db"), Buffer.concat([Buffer.from([0, 255, 254]), Buffer.from(token)]));
		writeFileSync(join(directory, "deep", "log"), Buffer.from(`password=${passwords.eve}`).toString("hex"));
		assert.deepEqual(leftSecrets(directory).sort(), [
			`${join(directory, "deep", "db")} holds the secret of a token`,
			`${join(directory, "deep", "log")} has eve in hex`,
		]);
		assert.throws(
			() => assertNoToken(["server"], `started by ${token}`),
			/^Error: server has written the secret of a tok/,
		);
		assertNoToken(["user", "token", "create"], token);
	});
});

describe("passwords and tokens", { timeout: 120_000 }, () => {
	it("are in no output, no error, no command line and no file but that of the login", async () => {
		const data = join(tempDir(), "data");
		const home = tempDir();
		const work = tempDir();
		const env = { XDG_CONFIG_HOME: home, MILLRACE_DATA: data };
		const server = startMillrace(["server", "--port", "0", "--data", data]);
		after(() => server.close());
		await server.writes(/JSON over HTTP at \S+\n/);
		const address = /serving at (\S+),/.exec(server.stdout())?.[1] ?? "";
		const http = /JSON over HTTP at (\S+)/.exec(server.stdout())?.[1] ?? "";

		const said: Holder[] = [];
		const keep = (name: string, text: string) => said.push({ name, content: Buffer.from(text) });
		const run = async (line: string, passwords: readonly string[] = [], variables: Record<string, string> = {}) => {
			const input = passwords.map((name) => `${secrets[name] ?? ""}\n`).join("");
			const options = { env: { ...env, ...variables }, cwd: work, ...(input !== "" && { input }) };
			const end: CommandEnd = await runMillrace(line.split(" "), options);
			keep(`stdout of ${line}`, line.includes("token create") ? end.stdout.replace(/mlr_\S+/, "") : end.stdout);
			keep(`stderr of ${line}`, end.stderr);
			return end;
		};
		const fails = async (call: Promise<unknown>) => {
			const error = await call.then(
				() => assert.fail("it has to fail"),
				(thrown) => thrown,
			);
			assert.ok(isMillraceError(error), String(error));
			keep(error.code, `${error.stack} ${error.cause} ${JSON.stringify(error)}`);
		};

		assert.equal((await run("user create ada --admin --password-stdin", ["ada's password"])).code, 0);
		assert.equal((await run("user login ada --password-stdin", ["a wrong password"])).code, 2);
		assert.equal((await run("user login ada --password-stdin", ["ada's password"])).code, 0);
		secrets["the token of the login"] = JSON.parse(filesBelow(home)[0]?.content.toString() ?? "{}").logins[data].token;

		const ada = new Client({ server: address, token: secrets["the token of the login"] ?? "" });
		after(() => ada.close());
		const stranger = new Client({ server: address });
		after(() => stranger.close());
		const bob = await ada.createUser("bob", { password: secrets["bob's first password"] ?? "" });
		await stranger.login({ username: "bob", password: secrets["bob's first password"] ?? "" });
		await fails(stranger.login({ username: "bob", password: secrets["a wrong password"] ?? "" }));
		await fails(ada.createUser("bob", { password: secrets["bob's second password"] ?? "" }));
		await fails(ada.createUser("x y", { password: secrets["bob's second password"] ?? "" }));
		const self = await stranger.whoami();
		await fails(
			self.changePassword(secrets["bob's second password"] ?? "", { oldPassword: secrets["a wrong password"] ?? "" }),
		);
		await self.changePassword(secrets["bob's second password"] ?? "", {
			oldPassword: secrets["bob's first password"] ?? "",
		});
		const { id, secret } = await ada.createToken({ description: "for the test", userId: bob.userId });
		secrets["a token for a program"] = secret;
		assert.equal((await run("experiment list", [], { MILLRACE_TOKEN: secret })).code, 0);
		await ada.revokeToken(id);
		assert.equal((await run("experiment list", [], { MILLRACE_TOKEN: secret })).code, 2);
		await fails(new Client({ server: address, token: `${secret}\n${secret}` }).getSessionUsername());
		for (const body of [
			{ username: "ada", password: secrets["a wrong password"] },
			{ username: "ada", password: { of: secrets["ada's password"] } },
			{ username: "ada", passwd: secrets["ada's password"] },
			[secrets["ada's password"]],
		]) {
			const answer = await fetch(`http://${http.replace(/^http:\/\//, "")}/millrace.v1.AuthService/Login`, {
				method: "POST",
				headers: { "content-type": "application/json", authorization: `Bearer ${secret}` },
				body: JSON.stringify(body),
			});
			assert.ok(!answer.ok);
			keep(`the answer over HTTP to ${Object.keys(body)}`, await answer.text());
		}

		// A run that fails, whose entrypoint tells its own token to this test, and all command lines to everybody.
		const told = join(tempDir({ mayHoldSecrets: true }), "token");
		const entrypoint = `printf %s "$MILLRACE_TOKEN" > ${told}; cat /proc/[0-9]*/cmdline 2>&1; exit 3`;
		writeFileSync(join(work, "conf.yaml"), JSON.stringify({ name: "fails", entrypoint, max_restarts: 0 }));
		const end = await run("run conf.yaml");
		assert.equal(end.code, 1, end.stderr);
		assert.ok(end.stdout.length > 100 || process.platform !== "linux", "the command lines are there");
		secrets["the token of the workers"] = filesBelow(join(told, ".."))[0]?.content.toString() ?? "";
		assert.match(secrets["the token of the workers"], /^mlr_/);
		assert.notEqual(secrets["the token of the workers"], secrets["the token of the login"]);
		await run("user audit");

		const files = () => [...filesBelow(data), ...filesBelow(work)];
		const whileItServes = files();
		assert.ok(
			whileItServes.some(({ name }) => name.endsWith("-wal")),
			"the log of the database is looked at",
		);
		server.signal("SIGTERM");
		const { stdout, stderr } = await server.ended;
		keep("stdout of the server", stdout);
		keep("stderr of the server", stderr);
		const holders = [...said, ...whileItServes, ...files()];
		assert.deepEqual(findSecrets(holders, secrets), []);

		const path = tokenFile(env);
		assert.deepEqual(
			findSecrets(filesBelow(home), secrets).filter((found) => found.includes("as it is")),
			[`${path} has the token of the login as it is`],
		);
	});
});
