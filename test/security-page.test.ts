import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { Client } from "../src/sdk/index.js";
import { missingProgram } from "./support/missing-program.js";
import { startCommand } from "./support/start-command.js";
import { startTestServer } from "./support/start-test-server.js";
import { tempDir } from "./support/temp-dir.js";

describe("the CA of docs/security.md", { timeout: 120_000 }, () => {
	it("issues certificates by which both sides know each other", { skip: missingProgram(["openssl"]) }, async () => {
		const page = readFileSync(fileURLToPath(new URL("../docs/security.md", import.meta.url)), "utf8");
		const [, commands = ""] = /^```sh\n(openssl .*?)^```$/ms.exec(page) ?? [];
		const cwd = tempDir();
		const { code, stderr } = await startCommand("sh", ["-ec", commands], { cwd }).ended;
		assert.equal(code, 0, stderr);
		const file = (name: string) => join(cwd, name);
		const server = await startTestServer({
			tls: { cert: file("server.pem"), key: file("server.key"), clientCa: file("ca.pem") },
		});
		const tls = { ca: file("ca.pem"), cert: file("me.pem"), key: file("me.key") };
		for (const serverName of [undefined, "gpu-box.example"]) {
			const client = new Client({ server: server.address, tls: { ...tls, serverName } });
			after(() => client.close());
			assert.deepEqual(await client.listModels(), []);
		}
	});
});
