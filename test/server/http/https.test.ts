import assert from "node:assert/strict";
import { once } from "node:events";
import { type RequestOptions, request } from "node:https";
import { connect } from "node:net";
import { describe, it } from "node:test";
import { CertificateAuthority, pemFiles } from "../../support/certificate-authority.js";
import { startTestServer } from "../../support/start-test-server.js";

const ca = new CertificateAuthority("Test CA");
const server = ca.issue({ name: "gpu-box", hosts: ["127.0.0.1"] });
const own = ca.issue({ name: "me" });
const files = pemFiles({ ca: ca.cert, ...server });

/** Calls a method by HTTPS. */
async function post(address: string, options: RequestOptions): Promise<{ status: number | undefined; text: string }> {
	const url = `${address}/millrace.v1.ServerService/GetServerInfo`;
	const headers = { "content-type": "application/json" };
	const call = request(url, { ...options, method: "POST", headers, agent: false });
	call.end("{}");
	const [response] = await once(call, "response");
	let text = "";
	for await (const chunk of response) {
		text += chunk;
	}
	return { status: response.statusCode, text };
}

describe("HttpServer with TLS", { timeout: 60_000 }, () => {
	const tls = { cert: files.cert, key: files.key };

	it("answers by HTTPS, with the certificate of gRPC", async () => {
		const { httpAddress = "" } = await startTestServer({ httpPort: 0, tls });
		assert.match(httpAddress, /^https:\/\/127\.0\.0\.1:\d+$/);
		const { status, text } = await post(httpAddress, { ca: ca.cert });
		assert.equal(status, 200);
		assert.match(text, /"clusterId":/);
		await assert.rejects(post(httpAddress, {}), { code: "UNABLE_TO_VERIFY_LEAF_SIGNATURE" });
		await assert.rejects(fetch(httpAddress.replace("https", "http")));
	});

	it("refuses callers without a certificate of the CA of clients", async () => {
		const { httpAddress = "" } = await startTestServer({ httpPort: 0, tls: { ...tls, clientCa: files.ca } });
		assert.equal((await post(httpAddress, { ca: ca.cert, ...own })).status, 200);
		await assert.rejects(post(httpAddress, { ca: ca.cert }), { code: /CERTIFICATE_REQUIRED|ECONNRESET/ });
	});

	it("closes at once though somebody has not begun the handshake", async () => {
		const running = await startTestServer({ httpPort: 0, tls });
		const silent = connect(Number(running.httpAddress?.split(":").at(-1)), "127.0.0.1");
		silent.on("error", () => {});
		await once(silent, "connect");
		await post(running.httpAddress ?? "", { ca: ca.cert });
		const start = performance.now();
		await running.close();
		assert.ok(performance.now() - start < 4_000, `it took ${performance.now() - start} ms`);
	});
});
