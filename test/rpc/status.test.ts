import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { status as GrpcStatus } from "@grpc/grpc-js";
import { type ErrorCode, isMillraceError, MillraceError } from "../../src/errors.js";
import { ServerService } from "../../src/gen/millrace/v1/server_service_pb.js";
import { createRpcClient } from "../../src/rpc/client.js";
import { errorCodeOf, fromStatus, grpcStatusOf, httpStatusOf, toStatus } from "../../src/rpc/status.js";
import { errorWith } from "../support/error-with.js";
import { startRpcServer } from "../support/start-rpc-server.js";

const codes: Readonly<Record<ErrorCode, readonly [grpc: number, http: number]>> = {
	cancelled: [1, 499],
	unknown: [2, 500],
	invalid_argument: [3, 400],
	deadline_exceeded: [4, 504],
	not_found: [5, 404],
	already_exists: [6, 409],
	permission_denied: [7, 403],
	resource_exhausted: [8, 429],
	failed_precondition: [9, 400],
	aborted: [10, 409],
	out_of_range: [11, 400],
	unimplemented: [12, 501],
	internal: [13, 500],
	unavailable: [14, 503],
	data_loss: [15, 500],
	unauthenticated: [16, 401],
};
const everyCode = Object.entries(codes) as [ErrorCode, (typeof codes)[ErrorCode]][];

/** Answers a unary call with what `thrown` returns, and gives what arrives and what was logged. */
async function sendThrough(thrown: () => unknown) {
	const server = await startRpcServer((rpc) =>
		rpc.add(ServerService, {
			getServerInfo: async () => {
				throw thrown();
			},
		}),
	);
	const client = createRpcClient(ServerService, server.channel({ connectMs: 2_000, retryMs: 0 }));
	const arrived = async (): Promise<Error> => {
		try {
			await client.getServerInfo({});
		} catch (error) {
			assert.ok(isMillraceError(error), String(error));
			return error;
		}
		throw new Error("the call succeeded");
	};
	return { arrived, logged: server.logged };
}

describe("the table of codes", () => {
	for (const [code, [grpc, http]] of everyCode) {
		it(`maps ${code} to gRPC's ${GrpcStatus[grpc]}, HTTP's ${http}, and back`, () => {
			assert.equal(GrpcStatus[grpc], code.toUpperCase());
			assert.equal(grpcStatusOf(code), grpc);
			assert.equal(errorCodeOf(grpc), code);
			assert.equal(httpStatusOf(code), http);
			const sent = toStatus(new MillraceError(code, "why"), "/m", assert.fail);
			assert.deepEqual(sent, { code: grpc, details: "why" });
		});
	}

	it("has a code for each of gRPC's statuses but OK, and unknown for a number that gRPC does not have", () => {
		const numbers = Object.values(GrpcStatus).filter((value) => typeof value === "number");
		assert.deepEqual(numbers.length - 1, everyCode.length);
		assert.equal(errorCodeOf(99), "unknown");
	});
});

describe("fromStatus", () => {
	it("leaves a MillraceError as it is, and calls anything that has no status unknown", () => {
		const error = new MillraceError("aborted", "why");
		assert.equal(fromStatus(error), error);
		const cause = new TypeError("no function");
		const unknown = fromStatus(cause);
		assert.deepEqual([unknown.code, unknown.cause], ["unknown", cause]);
		assert.match(unknown.message, /no function/);
	});
});

describe("an error that a handler throws", { timeout: 30_000 }, () => {
	it("arrives with every code, and its message", async () => {
		let code: ErrorCode = "internal";
		const { arrived, logged } = await sendThrough(() => new MillraceError(code, `why ${code}`));
		for ([code] of everyCode) {
			const error = await arrived();
			assert.ok(isMillraceError(error, code), String(error));
			assert.match(error.message, new RegExp(`why ${code}`));
		}
		assert.deepEqual(logged, []);
	});

	it("arrives as internal error if it is none of ours, and is logged with its stack", async () => {
		const thrown = new TypeError("the password is swordfish");
		const { arrived, logged } = await sendThrough(() => thrown);
		const error = await arrived();
		assert.ok(isMillraceError(error, "internal"));
		assert.equal(error.message, "internal error");
		assert.deepEqual(
			logged.map(({ message }) => message),
			["/millrace.v1.ServerService/GetServerInfo failed"],
		);
		assert.equal(logged[0]?.error, thrown);
		assert.match(thrown.stack ?? "", /swordfish[\s\S]*status\.test\.ts/);
	});

	it("arrives as internal error if it is no error at all", async () => {
		let thrown: unknown;
		const { arrived, logged } = await sendThrough(() => thrown);
		for (thrown of [undefined, null, "text", { code: 5, details: "a status of grpc-js" }]) {
			assert.equal((await arrived()).message, "internal error");
		}
		assert.equal(logged.length, 4);
	});

	const messages: [what: string, message: string][] = [
		["unicode", "modèle « 数字 » 🦆: 100 % de /a/b?c=%20&d=#e"],
		["line breaks and control characters", "first\nsecond\r\n\tthird \u0000 \u007f"],
		["nothing", ""],
		["7,000 characters", "x".repeat(7_000)],
		["700 characters of unicode", "語".repeat(700)],
	];
	for (const [what, message] of messages) {
		it(`arrives whole with a message of ${what}`, async () => {
			const { arrived } = await sendThrough(() => new MillraceError("not_found", message));
			assert.equal((await arrived()).message, message);
		});
	}

	it("arrives with the beginning of a message that no header can carry", async () => {
		const { arrived, logged } = await sendThrough(
			() => new MillraceError("invalid_argument", `the value is ${"🦆".repeat(100_000)}`),
		);
		assert.ok(errorWith("invalid_argument", /^the value is 🦆{500,600}… \(cut\)$/u)(await arrived()));
		assert.deepEqual(logged, []);
	});

	it("arrives with a message that ends in half of a surrogate pair", async () => {
		const { arrived } = await sendThrough(() => new MillraceError("not_found", `no "${"🦆".slice(0, 1)}"`));
		assert.deepEqual((await arrived()).message, 'no "\ufffd"');
	});
});
