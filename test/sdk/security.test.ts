import assert from "node:assert/strict";
import { resolve } from "node:path";
import { after, describe, it } from "node:test";
import { batchProcess, core } from "../../src/runtime/index.js";
import { connect } from "../../src/sdk/connect.js";
import { Client } from "../../src/sdk/index.js";
import { chosenTls } from "../../src/sdk/security.js";
import { tlsOfEnvironment, tlsVariables } from "../../src/sdk/tls-options.js";
import { CertificateAuthority, pemFiles } from "../support/certificate-authority.js";
import { errorWith } from "../support/error-with.js";
import { startTestServer } from "../support/start-test-server.js";
import { tempDir } from "../support/temp-dir.js";

const ca = new CertificateAuthority("Test CA");
const server = ca.issue({ name: "gpu-box", hosts: ["gpu-box.example"] });
const pair = ca.issue({ name: "me" });
const files = pemFiles({ ca: ca.cert, server: server.cert, serverKey: server.key, ...pair });

describe("chosenTls", () => {
	it("is plain text where nothing says otherwise", () => {
		assert.deepEqual(chosenTls({}, {}), undefined);
		assert.deepEqual(chosenTls({ tls: false }, { MILLRACE_TLS_CA: files.ca }), undefined);
		assert.deepEqual(chosenTls({}, { MILLRACE_TLS_CA: "", MILLRACE_TLS: "" }), undefined);
		assert.deepEqual(chosenTls({}, { MILLRACE_TLS_CA: files.ca, MILLRACE_TLS: "0" }), undefined);
	});

	it("reads the files of the options, and nothing of the environment beside them", () => {
		const { ca: caPath, cert, key } = files;
		const tls = { ca: caPath, cert, key, serverName: "a.example" };
		const environment = { MILLRACE_TLS_CA: "/nowhere" };
		assert.deepEqual(chosenTls({ tls }, environment), { ca: ca.cert, ...pair, serverName: "a.example" });
		assert.deepEqual(chosenTls({ tls: true }, environment), {});
		assert.deepEqual(chosenTls({ tls: {} }, environment), {});
	});

	it("reads the files of the environment", () => {
		const environment = {
			MILLRACE_TLS_CA: files.ca,
			MILLRACE_TLS_CERT: files.cert,
			MILLRACE_TLS_KEY: files.key,
			MILLRACE_TLS_SERVER_NAME: "a.example",
		};
		assert.deepEqual(chosenTls({}, environment), { ca: ca.cert, ...pair, serverName: "a.example" });
		assert.deepEqual(chosenTls({}, { MILLRACE_TLS: "1" }), {});
		assert.deepEqual(chosenTls({}, { MILLRACE_TLS_SERVER_NAME: "a.example" }), { serverName: "a.example" });
	});

	it("throws invalid_argument with the option or the variable, and the file", () => {
		const missing = "/nowhere/ca.pem";
		for (const [make, message] of [
			[() => chosenTls({ tls: { ca: missing } }), /^tls\.ca is \/nowhere\/ca\.pem, which cannot be read: ENOENT/],
			[() => chosenTls({}, { MILLRACE_TLS_CA: missing }), /^MILLRACE_TLS_CA is \/nowhere\/ca\.pem, which cannot/],
			[() => chosenTls({ tls: { cert: files.cert } }), /^tls\.cert is given without tls\.key; give both files$/],
			[() => chosenTls({}, { MILLRACE_TLS_KEY: files.key }), /^MILLRACE_TLS_KEY is given without MILLRACE_TLS_CERT/],
			[() => chosenTls({}, { MILLRACE_TLS: "yes" }), /^MILLRACE_TLS is "yes"; it must be 1 for TLS, 0 for plain text/],
		] as const) {
			assert.throws(make, errorWith("invalid_argument", message));
		}
	});
});

describe("tlsVariables", () => {
	it("are what tlsOfEnvironment reads, with paths that hold in any directory", () => {
		const tls = { ca: "ca.pem", serverName: "a.example" };
		assert.deepEqual(tlsOfEnvironment(tlsVariables(tls)), { ca: resolve("ca.pem"), serverName: "a.example" });
		assert.deepEqual(tlsOfEnvironment(tlsVariables({})), {});
		assert.equal(tlsOfEnvironment({ MILLRACE_TLS_CA: "/ca.pem", ...tlsVariables(undefined) }), undefined);
	});
});

describe("the option tls", () => {
	it("throws invalid_argument where it is made of something else, in each place that has it", async () => {
		for (const [tls, message] of [
			["yes", /^tls is "yes"; it must be true, false, or \{ ca: "ca\.pem" \}$/],
			[{ ca: 1 }, /^tls\.ca is 1; give the path of a file/],
			[{ serverName: 1 }, /^tls\.serverName is 1; it must be a string$/],
			[{ server_name: "a" }, /^unknown option server_name of tls: it is serverName here$/],
		] as const) {
			const options = { tls } as never;
			const refused = errorWith("invalid_argument", message);
			assert.throws(() => new Client(options), refused);
			await assert.rejects(batchProcess(class {} as never, [1], options), refused);
			await assert.rejects(core.init(options), refused);
		}
	});
});

describe("connect to the data directory of a server with TLS", { timeout: 60_000 }, () => {
	const tls = { cert: files.server, key: files.serverKey };

	it("works with the CA alone, though the certificate is for another name than the address", async () => {
		const { dataDirectory } = await startTestServer({ tls });
		const client = new Client({ dataDirectory, tls: { ca: files.ca } });
		after(() => client.close());
		assert.deepEqual(await client.listModels(), []);
		const connection = await connect({ dataDirectory }, { MILLRACE_TLS_CA: files.ca });
		assert.equal(connection.channel.security.tls?.serverName, "gpu-box.example");
		connection.close();
	});

	it("says what is missing, in one sentence and at once", async () => {
		const { dataDirectory } = await startTestServer({ tls: { ...tls, clientCa: files.ca } });
		for (const [environment, code, message] of [
			[
				{},
				"failed_precondition",
				/^the server at 127\.0\.0\.1:\d+ speaks TLS, but this client speaks plain text; give/,
			],
			[
				{ MILLRACE_TLS: "1" },
				"failed_precondition",
				/issued by CN=Test CA, and this client trusts only the public CAs/,
			],
			[{ MILLRACE_TLS_CA: files.ca }, "unauthenticated", /asks for a certificate of this client, which has none; give/],
			[{ MILLRACE_TLS_CA: "/nowhere" }, "invalid_argument", /^MILLRACE_TLS_CA is \/nowhere, which cannot be read/],
		] as const) {
			const start = performance.now();
			await assert.rejects(connect({ dataDirectory }, environment), errorWith(code, message));
			assert.ok(performance.now() - start < 5_000);
		}
	});
});

describe("connect to the data directory of a plain server", { timeout: 60_000 }, () => {
	it("takes no notice of what the environment says of TLS", async () => {
		const { address, dataDirectory } = await startTestServer();
		const connection = await connect({ dataDirectory }, { MILLRACE_TLS_CA: "/nowhere" });
		connection.close();
		assert.equal(connection.address, address);
	});

	it("is refused to those who ask for TLS, and no server is started for them", async () => {
		const { dataDirectory } = await startTestServer();
		const message =
			/^tls is given, but no server that speaks TLS serves the data directory \S+; name the address of one/;
		for (const directory of [dataDirectory, tempDir()]) {
			const refused = connect({ dataDirectory: directory, tls: { ca: files.ca } });
			await assert.rejects(refused, errorWith("failed_precondition", message));
		}
	});
});
