import assert from "node:assert/strict";
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, it } from "node:test";
import { shownToken } from "../../src/sdk/shown-token.js";
import { forgetToken, keepLogin, keptToken, tokenFile } from "../../src/sdk/token-file.js";
import { errorWith } from "../support/error-with.js";
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
	it("writes a file that only its owner can read, and nothing beside it", () => {
		const env = person();
		const path = keepLogin(["gpu-box:8090", "/srv/data"], login, env);
		assert.equal(path, tokenFile(env));
		assert.deepEqual([modeOf(path), modeOf(dirname(path))], ["600", "700"]);
		keepLogin(["other:8090"], { ...login, token: "mlr_two" }, env);
		assert.deepEqual([modeOf(path), readdirSync(dirname(path))], ["600", ["tokens.json"]]);
		assert.equal(keptToken(["nowhere:1", "/srv/data", "other:8090"], env), "mlr_one");
		assert.equal(keptToken(["other:8090"], env), "mlr_two");
		assert.equal(keptToken(["nowhere:1"], env), undefined);
	});

	it("replaces the login of a server, and drops those that have ended", () => {
		const env = person();
		keepLogin(["old:1"], { ...login, expireTime: new Date(Date.now() - 1).toISOString() }, env);
		keepLogin(["new:1"], { ...login, expireTime: new Date(Date.now() + 60_000).toISOString() }, env);
		keepLogin(["new:2"], login, env);
		keepLogin(["new:2"], { ...login, username: "bob", token: "mlr_bob" }, env);
		const { logins } = JSON.parse(readFileSync(tokenFile(env), "utf8"));
		assert.deepEqual(Object.keys(logins), ["new:1", "new:2"]);
		assert.equal(logins["new:2"].username, "bob");
	});

	it("says that the file cannot be written", () => {
		const env = person();
		mkdirSync(env.XDG_CONFIG_HOME);
		writeFileSync(join(env.XDG_CONFIG_HOME, "millrace"), "a file");
		assert.throws(
			() => keepLogin(["a:1"], login, env),
			errorWith("permission_denied", /tokens\.json cannot be written: /),
		);
	});
});

describe("keptToken", () => {
	for (const mode of [0o644, 0o640, 0o604, 0o622]) {
		it(`refuses a file with mode 0${mode.toString(8)}, shows none of it, and says what to do`, () => {
			const env = person();
			const path = keepLogin(["a:1"], login, env);
			chmodSync(path, mode);
			for (const use of [
				() => keptToken(["a:1"], env),
				() => keepLogin(["b:1"], login, env),
				() => forgetToken("mlr_one", env),
			]) {
				assert.throws(use, (error: Error) => {
					assert.doesNotMatch(error.message, /mlr_one/);
					return errorWith("failed_precondition", new RegExp(`mode 0${mode.toString(8)}.*: chmod 600 ${path}$`))(error);
				});
			}
			chmodSync(path, 0o600);
			assert.equal(keptToken(["a:1"], env), "mlr_one");
		});
	}

	it("refuses a file that it has not written, and shows none of it", () => {
		const env = person();
		const path = keepLogin(["a:1"], login, env);
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
	it("forgets a token by whatever name it was kept", () => {
		const env = person();
		forgetToken("mlr_one", env);
		assert.equal(existsSync(tokenFile(env)), false, "without a file there is nothing to forget");
		keepLogin(["a:1", "/srv/data"], login, env);
		keepLogin(["b:1"], { ...login, token: "mlr_two" }, env);
		forgetToken("mlr_one", env);
		assert.equal(keptToken(["a:1", "/srv/data"], env), undefined);
		assert.equal(keptToken(["b:1"], env), "mlr_two");
	});
});

describe("shownToken", () => {
	it("is the one that is given, else that of MILLRACE_TOKEN, else the one that is kept", () => {
		const env = person();
		assert.equal(shownToken({}, ["a:1"], env), undefined);
		keepLogin(["a:1"], login, env);
		assert.equal(shownToken({}, ["a:1"], env), "mlr_one");
		const both = { ...env, MILLRACE_TOKEN: "mlr_of_environment\n" };
		assert.equal(shownToken({}, ["a:1"], both), "mlr_of_environment");
		assert.equal(shownToken({}, ["a:1"], { ...env, MILLRACE_TOKEN: "" }), "mlr_one");
		assert.equal(shownToken({ token: "mlr_given" }, ["a:1"], both), "mlr_given");
		assert.equal(shownToken({ token: "" }, ["a:1"], both), undefined);
	});

	it("refuses what cannot be a token, and does not show it", () => {
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
