import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { readServerAddress } from "../../src/data-directory.js";
import { startServer } from "../../src/server/index.js";
import { nameBesides, readServerTls } from "../../src/server/server-certificate.js";
import { CertificateAuthority, pemFiles } from "../support/certificate-authority.js";
import { errorWith } from "../support/error-with.js";
import { tempDir } from "../support/temp-dir.js";

const ca = new CertificateAuthority("Test CA");
const near = ca.issue({ name: "near", hosts: ["far.example", "127.0.0.1"] });
const far = ca.issue({ name: "far", hosts: ["*.example", "10.0.0.1"] });
const old = ca.issue({ name: "old", hosts: ["127.0.0.1"], days: [-9, -2] });
const files = pemFiles({ ca: ca.cert, near: near.cert, far: far.cert, old: old.cert, key: near.key });

describe("readServerTls", () => {
	it("reads the certificate, its key and the CAs of clients", () => {
		assert.deepEqual(readServerTls({ cert: files.near, key: files.key, clientCa: files.ca }), {
			...near,
			clientCa: ca.cert,
		});
		assert.deepEqual(readServerTls({ cert: files.near, key: files.key, clientCa: "" }), near);
	});

	for (const [given, message] of [
		[
			{ cert: files.near, key: "" },
			/^tls\.cert \(--tls-cert\) is given without tls\.key \(--tls-key\); give both files$/,
		],
		[
			{ cert: "", key: files.key },
			/^tls\.key \(--tls-key\) is given without tls\.cert \(--tls-cert\); give both files$/,
		],
		[
			{ cert: "", key: "", clientCa: files.ca },
			/^tls\.clientCa \(--tls-client-ca\) is given without tls\.cert \(--tls-cert\)/,
		],
		[{ cert: "/nowhere.pem", key: files.key }, /^tls\.cert \(--tls-cert\) is \/nowhere\.pem, which cannot be read/],
		[{ cert: files.near, key: files.ca }, /^tls\.key \(--tls-key\) is \S+ca\.pem, which holds no private key/],
		[
			{ cert: files.near, key: files.key, clientCa: files.key },
			/^tls\.clientCa \(--tls-client-ca\) is \S+key\.pem, which holds no certificate/,
		],
	] as const) {
		it(`throws invalid_argument: ${message.source.slice(1, 60)}`, () => {
			assert.throws(() => readServerTls(given), errorWith("invalid_argument", message));
		});
	}
});

describe("nameBesides", () => {
	it("is undefined where the certificate is for the host, else a name that it is for", () => {
		assert.equal(nameBesides("127.0.0.1", near), undefined);
		assert.equal(nameBesides("far.example", near), undefined);
		assert.equal(nameBesides("::1", near), "far.example");
		assert.equal(nameBesides("127.0.0.1", far), "millrace.example");
		assert.equal(nameBesides("127.0.0.1", ca.issue({ name: "nobody" })), undefined);
	});
});

describe("startServer with TLS", { timeout: 60_000 }, () => {
	it("throws for files that are no good, before it makes the data directory", async () => {
		const dataDirectory = join(tempDir(), "data");
		await assert.rejects(
			startServer({ dataDirectory, port: 0, tls: { cert: files.near, key: "/nowhere.pem" } }),
			errorWith("invalid_argument", /^tls\.key \(--tls-key\) is \/nowhere\.pem/),
		);
		assert.equal(existsSync(dataDirectory), false);
	});

	it("says in the data directory that it speaks TLS, and by which name if it is not the address's", async () => {
		for (const [cert, tls] of [
			[files.near, {}],
			[files.far, { serverName: "millrace.example" }],
			[undefined, undefined],
		] as const) {
			const dataDirectory = tempDir();
			const server = await startServer({
				dataDirectory,
				port: 0,
				tls: cert === undefined ? undefined : { cert, key: files.key },
			});
			after(() => server.close());
			assert.deepEqual(readServerAddress(dataDirectory)?.tls, tls);
			await server.close();
		}
	});

	it("says that its certificate has expired, and serves", async () => {
		const logged: string[] = [];
		const server = await startServer({
			...{ dataDirectory: tempDir(), port: 0, tls: { cert: files.old, key: files.key } },
			log: (message, error) => logged.push(`${message}: ${error}`),
		});
		await server.close();
		assert.equal(logged.length, 1);
		assert.match(logged[0] ?? "", /^clients refuse the certificate of this server: it expired on \d{4}-.*; renew it/);
	});
});
