import assert from "node:assert/strict";
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { shownToken } from "../../src/sdk/shown-token.js";
import { forgetToken, keepLogin, keptToken, tokenFile } from "../../src/sdk/token-file.js";
import { errorWith } from "../support/error-with.js";
import { nodeWithTsx } from "../support/node-with-tsx.js";
import { startCommand } from "../support/start-command.js";
import { tempDir } from "../support/temp-dir.js";

const login = { username: "ada", token: "mlr_one", expireTime: null };

/** The environment of a person whose configuration is in an empty directory. */
function person(): { XDG_CONFIG_HOME: string } {
	return { XDG_CONFIG_HOME: join(tempDir(), "config") };
}

function modeOf(path: string): string {
	return (statSync(path).mode & 0o777).toString(8);
}

describe("tokenFile", () => {
	it("is in XDG_CONFIG_HOME if that is absolute, else in .config of the home directory", () => {
		const file = "millrace/tokens.json";
		assert.equal(tokenFile({ XDG_CONFIG_HOME: "/etc/ada", HOME: "/home/ada" }), `/etc/ada/${file}`);
		assert.equal(tokenFile({ XDG_CONFIG_HOME: "relative", HOME: "/home/ada" }), `/home/ada/.config/${file}`);
		assert.equal(tokenFile({ HOME: "/home/ada" }), `/home/ada/.config/${file}`);
	});
});

describe("keepLogin", () => {
	it("writes a file that only its owner can read, and nothing beside it", async () => {
		const env = person();
		const path = await keepLogin(["gpu-box:8090", "/srv/data"], login, env);
		assert.equal(path, tokenFile(env));
		assert.deepEqual([modeOf(path), modeOf(dirname(path))], ["600", "700"]);
		await keepLogin(["other:8090"], { ...login, token: "mlr_two" }, env);
		assert.deepEqual([modeOf(path), readdirSync(dirname(path))], ["600", ["tokens.json"]]);
		assert.equal(keptToken(["nowhere:1", "/srv/data", "other:8090"], env), "mlr_one");
		assert.equal(keptToken(["other:8090"], env), "mlr_two");
		assert.equal(keptToken(["nowhere:1"], env), undefined);
	});

	it("replaces the login of a server, and drops those that have ended", async () => {
		const env = person();
		await keepLogin(["old:1"], { ...login, expireTime: new Date(Date.now() - 1).toISOString() }, env);
		await keepLogin(["new:1"], { ...login, expireTime: new Date(Date.now() + 60_000).toISOString() }, env);
		await keepLogin(["new:2"], login, env);
		await keepLogin(["new:2"], { ...login, username: "bob", token: "mlr_bob" }, env);
		const { logins } = JSON.parse(readFileSync(tokenFile(env), "utf8"));
		assert.deepEqual(Object.keys(logins), ["new:1", "new:2"]);
		assert.equal(logins["new:2"].username, "bob");
	});

	it("loses none of those that several processes keep and forget at once", async () => {
		const env = person();
		const names = ["a", "b", "c", "d"];
		const script = fileURLToPath(new URL("scripts/keep-logins.ts", import.meta.url));
		const [node, ...tsx] = nodeWithTsx;
		const processes = names.map((NAME) => startCommand(node, [...tsx, script], { env: { ...env, NAME, COUNT: "40" } }));
		await Promise.all(processes.map((each) => each.writes("ready")));
		for (const each of processes) {
			each.types("go\n");
		}
		for (const each of processes) {
			const { code, stderr } = await each.ended;
			assert.deepEqual({ code, stderr }, { code: 0, stderr: "" });
		}
		const { logins } = JSON.parse(readFileSync(tokenFile(env), "utf8"));
		const kept = names.flatMap((name) => Array.from({ length: 20 }, (_, i) => `${name}-${2 * i}:1`));
		assert.deepEqual(Object.keys(logins).sort(), kept.sort());
		assert.deepEqual(readdirSync(dirname(tokenFile(env))), ["tokens.json"]);
	});

	it("says that the file cannot be written", async () => {
		const env = person();
		mkdirSync(env.XDG_CONFIG_HOME);
		writeFileSync(join(env.XDG_CONFIG_HOME, "millrace"), "a file");
		await assert.rejects(
			keepLogin(["a:1"], login, env),
			errorWith("permission_denied", /tokens\.json cannot be written: /),
		);
	});
});

describe("keptToken", () => {
	for (const mode of [0o644, 0o640, 0o604, 0o622]) {
		it(`refuses a file with mode 0${mode.toString(8)}, shows none of it, and says what to do`, async () => {
			const env = person();
			const path = await keepLogin(["a:1"], login, env);
			chmodSync(path, mode);
			for (const use of [
				async () => keptToken(["a:1"], env),
				() => keepLogin(["b:1"], login, env),
				() => forgetToken("mlr_one", env),
			]) {
				await assert.rejects(use, (error: Error) => {
					assert.doesNotMatch(error.message, /mlr_one/);
					return errorWith("failed_precondition", new RegExp(`mode 0${mode.toString(8)}.*: chmod 600 ${path}$`))(error);
				});
			}
			chmodSync(path, 0o600);
			assert.equal(keptToken(["a:1"], env), "mlr_one");
		});
	}

	it("refuses a file that it has not written, and shows none of it", async () => {
		const env = person();
		const path = await keepLogin(["a:1"], login, env);
		for (const text of [
			'{"logins":{"a:1":{"token":"mlr_one"',
			'{"logins":{"a:1":{"secret":"mlr_one"}}}',
			'"mlr_one"',
			"null",
		]) {
			writeFileSync(path, text);
			assert.throws(
				() => keptToken(["a:1"], env),
				(error: Error) => {
					assert.doesNotMatch(`${error.stack} ${error.cause}`, /mlr_one/);
					return errorWith("failed_precondition", /is not as millrace user login writes it; remove it/)(error);
				},
			);
		}
	});
});

describe("forgetToken", () => {
	it("forgets a token by whatever name it was kept", async () => {
		const env = person();
		await forgetToken("mlr_one", env);
		assert.equal(existsSync(tokenFile(env)), false, "without a file there is nothing to forget");
		await keepLogin(["a:1", "/srv/data"], login, env);
		await keepLogin(["b:1"], { ...login, token: "mlr_two" }, env);
		await forgetToken("mlr_one", env);
		assert.equal(keptToken(["a:1", "/srv/data"], env), undefined);
		assert.equal(keptToken(["b:1"], env), "mlr_two");
	});
});

describe("shownToken", () => {
	it("is the one that is given, else that of MILLRACE_TOKEN, else the one that is kept", async () => {
		const env = person();
		assert.equal(shownToken({}, ["a:1"], env), undefined);
		await keepLogin(["a:1"], login, env);
		assert.equal(shownToken({}, ["a:1"], env), "mlr_one");
		const both = { ...env, MILLRACE_TOKEN: "mlr_of_environment\n" };
		assert.equal(shownToken({}, ["a:1"], both), "mlr_of_environment");
		assert.equal(shownToken({}, ["a:1"], { ...env, MILLRACE_TOKEN: "" }), "mlr_one");
		assert.equal(shownToken({ token: "mlr_given" }, ["a:1"], both), "mlr_given");
		assert.equal(shownToken({ token: "" }, ["a:1"], both), undefined);
	});

	it("refuses what cannot be a token, and does not show it", async () => {
		const env = person();
		for (const [choice, token] of [
			[{}, "mlr two words"],
			[{}, "mlr\u0000"],
			[{ token: "schlüssel" }, ""],
		] as const) {
			assert.throws(
				() => shownToken(choice, ["a:1"], { ...env, MILLRACE_TOKEN: token }),
				(error: Error) => {
					assert.doesNotMatch(error.message, /mlr|schl/);
					return errorWith("invalid_argument", /^(MILLRACE_TOKEN|token) has characters that no token has/)(error);
				},
			);
		}
	});
});
