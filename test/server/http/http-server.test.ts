import assert from "node:assert/strict";
import { connect } from "node:net";
import { describe, it } from "node:test";
import { ServerService } from "../../../src/gen/millrace/v1/server_service_pb.js";
import { httpCall } from "../../support/http-call.js";
import { startHttpServices } from "../../support/start-http-services.js";
import { waitUntil } from "../../support/wait-until.js";

const { getServerInfo } = ServerService.method;
type Handler = () => Promise<object>;

const start = (handler: Handler = async () => ({}), waits?: object) =>
	startHttpServices(
		(services) => services.add(ServerService, { getServerInfo: handler }),
		waits === undefined ? {} : { waits },
	);

/** Sends text as it is, and returns what comes until the server closes the connection. */
async function raw(port: number, text: string): Promise<string> {
	const socket = connect(port, "127.0.0.1");
	let received = "";
	socket.on("data", (bytes) => {
		received += bytes;
	});
	socket.write(text);
	await new Promise((resolve, reject) => socket.once("close", resolve).once("error", reject));
	return received;
}

async function get(address: string, path: string, options: RequestInit = {}) {
	const response = await fetch(`${address}${path}`, options);
	const body = (await response.json().catch(() => undefined)) as Record<string, string> | undefined;
	return { status: response.status, headers: response.headers, body };
}

describe("HttpServer", { timeout: 30_000 }, () => {
	it("tells its health", async () => {
		const { address } = await start();
		const { status, headers, body } = await get(address, "/health?verbose=1");
		assert.deepEqual([status, body], [200, { status: "SERVING" }]);
		assert.equal(headers.get("content-type"), "application/json");
		assert.equal(headers.get("access-control-allow-origin"), null);
		const head = await get(address, "/health", { method: "HEAD" });
		assert.deepEqual([head.status, head.body], [200, undefined]);
	});

	it("says what there is where nothing is", async () => {
		const { address } = await start();
		for (const path of ["/", "/healthy", "/millrace.v1.ServerService", "//health", "/api/v1/trials"]) {
			const { status, body } = await get(address, path);
			assert.deepEqual([status, body?.code], [404, "not_found"], path);
			const message = `nothing is at ${path}; there are /health, /millrace.v1.ServerService/`;
			assert.equal(body?.message, message);
		}
		const { status, body } = await get(address, "/millrace.v1.ServerService/GetInfo");
		assert.deepEqual([status, body?.code], [404, "unimplemented"]);
		assert.equal(body?.message, "millrace.v1.ServerService has no method GetInfo; it has GetServerInfo");
	});

	it("says which verbs a path takes", async () => {
		const { address } = await start();
		for (const [path, verb, allow] of [
			["/health", "POST", "GET, HEAD"],
			["/millrace.v1.ServerService/GetServerInfo", "PUT", "GET, POST"],
			["/millrace.v1.ServerService/GetServerInfo", "OPTIONS", "GET, POST"],
		] as const) {
			const { status, headers, body } = await get(address, path, { method: verb });
			assert.deepEqual([status, headers.get("allow"), body?.code], [405, allow, "unimplemented"]);
			assert.equal(body?.message, `the method is ${verb}; this path takes ${allow.replace(", ", " or ")}`);
		}
	});

	it("answers only to names of its own machine", async () => {
		const { port } = await start();
		const statusFor = async (host: string) =>
			Number(
				/^HTTP\/1.1 (\d+)/.exec(
					await raw(port, `GET /health HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`),
				)?.[1],
			);
		for (const host of ["localhost", "LocalHost:1", `127.0.0.1:${port}`, "127.9.9.9", "[::1]", "[::1]:80"]) {
			assert.equal(await statusFor(host), 200, host);
		}
		for (const host of [
			"evil.example",
			"localhost.evil.example:80",
			"127.0.0.1.evil.example",
			"10.0.0.1",
			"",
			"[::2]",
			"::1",
			"a b",
		]) {
			assert.equal(await statusFor(host), 403, host);
		}
		const answer = await raw(port, "POST /nothing HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n");
		assert.match(
			answer,
			/"permission_denied","message":"the request is to the host \\"evil\.example\\".*call it as localhost/,
		);
		assert.match(await raw(port, "GET /health HTTP/1.0\r\n\r\n"), /^HTTP\/1.1 403 /);
	});

	it("refuses headers that are too large", async () => {
		const { port } = await start();
		const head = `GET /health HTTP/1.1\r\nHost: localhost\r\nX-Long: ${"x".repeat(17_000)}\r\n\r\n`;
		assert.match(await raw(port, head), /^HTTP\/1.1 431 /);
	});

	it("waits for nobody for long", async () => {
		const { port } = await start(undefined, { headMs: 200, requestMs: 400, idleMs: 100 });
		const path = "/millrace.v1.ServerService/GetServerInfo";
		const head = `POST ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 2\r\n`;
		const [silent, slow, torn, idle] = await Promise.all([
			raw(port, ""),
			raw(port, head),
			raw(port, `${head}\r\n{`),
			raw(port, `${head}\r\n{}`),
		]);
		assert.match(silent, /^HTTP\/1.1 408 /);
		assert.match(slow, /^HTTP\/1.1 408 /);
		assert.match(torn, /^HTTP\/1.1 408 /);
		assert.match(idle, /^HTTP\/1.1 200 /);
	});

	it("answers the requests of a connection in their order, one after the other, and cuts one that sends too many", async () => {
		let underWay = 0;
		let most = 0;
		const { port } = await start(async () => {
			underWay += 1;
			most = Math.max(most, underWay);
			await new Promise((resolve) => setImmediate(resolve));
			underWay -= 1;
			return { version: String(most) };
		});
		const path = "/millrace.v1.ServerService/GetServerInfo?encoding=json&message=%7B%7D";
		const request = `GET ${path} HTTP/1.1\r\nHost: localhost\r\n`;
		const answers = await raw(port, `${`${request}\r\n`.repeat(9)}${request}Connection: close\r\n\r\n`);
		assert.equal(answers.match(/HTTP\/1.1 200 OK/g)?.length, 10);
		assert.equal(most, 1);
		const cut = await raw(port, `${request}\r\n`.repeat(1_000)).catch((error) => error.code);
		assert.ok(cut === "ECONNRESET" || (cut.match(/HTTP\/1.1 200 OK/g)?.length ?? 0) < 1_000);
	});

	it("ends calls under way when it stops, and tells others that it does", async () => {
		let finish: (answer: object) => void = () => {};
		const server = await start(
			() =>
				new Promise((resolve) => {
					finish = resolve;
				}),
		);
		const call = httpCall(server.address, getServerInfo);
		await waitUntil("the call", () => finish.length === 1);
		const closed = server.close();
		const { status, headers, body } = await get(server.address, "/health");
		assert.deepEqual([status, body, headers.get("connection")], [503, { status: "NOT_SERVING" }, "close"]);
		const refused = await httpCall(server.address, getServerInfo);
		assert.deepEqual([refused.status, refused.error?.code], [503, "unavailable"]);
		finish({ version: "the last" });
		assert.equal((await call).messages[0]?.version, "the last");
		await closed;
		await assert.rejects(fetch(`${server.address}/health`));
	});

	it("cuts calls that do not end within the grace, and idle connections at once", async () => {
		const server = await start(() => new Promise(() => {}));
		const silent = connect(server.port, "127.0.0.1");
		const silentClosed = new Promise((resolve) => silent.once("close", resolve));
		const call = httpCall(server.address, getServerInfo);
		call.catch(() => {});
		await waitUntil("the connection", () => silent.readyState === "open");
		await server.close(100);
		await assert.rejects(call);
		await silentClosed;
	});
});
