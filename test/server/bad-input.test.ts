import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import type { DescMethod } from "@bufbuild/protobuf";
import { fromBinary } from "@bufbuild/protobuf";
import { Metadata } from "@grpc/grpc-js";
import { AuthService } from "../../src/gen/millrace/v1/auth_service_pb.js";
import { Channel } from "../../src/rpc/channel.js";
import { Random } from "../chaos/random.js";
import { allMethods, fieldNames, fullName } from "../support/bad-input/all-methods.js";
import { createFuzzAccounts } from "../support/bad-input/fuzz-accounts.js";
import { type FuzzWorld, seedWorld } from "../support/bad-input/fuzz-world.js";
import { MessageMaker } from "../support/bad-input/message-maker.js";
import { type CallEnd, rawCall } from "../support/bad-input/raw-call.js";
import { startTestServer, type TestServer } from "../support/start-test-server.js";
import { tempDir } from "../support/temp-dir.js";

/** What plays the same messages again. */
const seed = process.env.MILLRACE_FUZZ_SEED ?? "millrace";
/** How many random messages are sent, in how many rounds; each begins with a world of its own. */
const messageCount = 10_500;
const roundCount = 15;
/** How many calls are under way at once. */
const callCount = 24;

const methods = await allMethods();

/** A server with a world, to which messages are sent. */
interface Target {
	readonly server: TestServer;
	/** That of an admin. */
	readonly channel: Channel;
	/** One to log out with. */
	readonly throwaway: Metadata;
	/** Makes a world of its own, which also shows that good calls work. */
	world(): Promise<FuzzWorld>;
	/** Methods that are not built. */
	readonly missing: Set<string>;
	/** Fails the test for what went wrong. */
	check(problems: readonly string[]): Promise<void>;
}

async function startTarget(): Promise<Target> {
	const above = tempDir();
	const dataDirectory = join(above, "a", "b", "c", "data");
	mkdirSync(dataDirectory, { recursive: true });
	const server = await startTestServer({ dataDirectory, leaseMs: 2_000 });
	const { admin, throwaway } = await createFuzzAccounts(server.address);
	const channel = new Channel(server.address, {
		...{ connectMs: 20_000, retryMs: 20_000 },
		security: { token: admin },
	});
	const missing = new Set<string>();
	return {
		server,
		channel,
		throwaway: metadataOf(throwaway),
		missing,
		world: () => seedWorld(channel),
		async check(problems) {
			await seedWorld(channel).then(({ end }) => end());
			channel.close();
			assert.deepEqual(problems.slice(0, 50), [], `${problems.length} problems`);
			assert.deepEqual(server.logged, []);
			const outside = readdirSync(above, { recursive: true, encoding: "utf8" }).filter((path) =>
				path.endsWith("outside.txt"),
			);
			assert.deepEqual([outside, existsSync("/outside.txt")], [[], false]);
			assert.deepEqual([...missing], [], "methods that are not built");
		},
	};
}

/** Sends a message, or several to a stream in both directions. */
function send(target: Target, method: DescMethod, messages: readonly Uint8Array[]): Promise<CallEnd> {
	const metadata = method === AuthService.method.logout ? target.throwaway : target.channel.metadata();
	return rawCall(target.channel.grpc, method, messages, followsMs(method, messages[0]), metadata);
}

function metadataOf(token: string): Metadata {
	const metadata = new Metadata();
	metadata.set("authorization", `Bearer ${token}`);
	return metadata;
}

/** Codes that tell of a wrong password. */
const wrongPassword: Readonly<Record<string, string>> = {
	"AuthService.Login": "UNAUTHENTICATED",
	"AuthService.UpdateUser": "PERMISSION_DENIED",
};

/** A stream that follows has no end as long as its trial is active. */
function followsMs(method: DescMethod, bytes: Uint8Array = new Uint8Array()): number | undefined {
	if (method.methodKind !== "server_streaming" || !method.input.fields.some(({ name }) => name === "follow")) {
		return undefined;
	}
	try {
		return Reflect.get(fromBinary(method.input, bytes), "follow") === true ? 500 : undefined;
	} catch {
		return undefined;
	}
}

/** Returns what is wrong with an answer; undefined where nothing is. `names` are those that a message may name. */
function problemOf(method: DescMethod, { code, details }: CallEnd, names: ReadonlySet<string>): string | undefined {
	if (code === wrongPassword[fullName(method)]) {
		return undefined;
	}
	const named = [...names].some((name) => new RegExp(`\\b${name}\\b`).test(details));
	switch (code) {
		case "OK":
		case "NOT_FOUND":
		case "ALREADY_EXISTS":
		case "FAILED_PRECONDITION":
		case "RESOURCE_EXHAUSTED":
		case "ABORTED":
		case "OUT_OF_RANGE":
			return undefined;
		case "INVALID_ARGUMENT":
			// Bytes that are cut or changed anywhere may be no field at all.
			return named || /^malformed millrace\.v1\.\w+: /.test(details)
				? undefined
				: `names no field of ${[...names].join(", ")}: ${details.slice(0, 300)}`;
		default:
			return `${code}: ${details.slice(0, 300)}`;
	}
}

/** Takes jobs one after the other, some at once. */
async function runAll(jobs: Iterable<() => Promise<void>>): Promise<void> {
	const iterator = jobs[Symbol.iterator]();
	const work = async () => {
		for (let next = iterator.next(); !next.done; next = iterator.next()) {
			await next.value();
		}
	};
	await Promise.all(Array.from({ length: callCount }, work));
}

describe("the server at bad input", { timeout: 600_000 }, () => {
	it("answers a message that is good but for one field with a code, and names the field", async () => {
		const target = await startTarget();
		const problems: string[] = [];
		let count = 0;
		for (const method of methods) {
			const world = await target.world();
			const maker = new MessageMaker(new Random(`${seed} ${fullName(method)}`), world);
			const call = async (messages: readonly Uint8Array[], label: string, names: readonly string[]) => {
				count++;
				const end = await send(target, method, messages);
				if (end.code === "UNIMPLEMENTED") {
					target.missing.add(fullName(method));
					return;
				}
				const problem = problemOf(method, end, new Set(names));
				if (problem !== undefined) {
					problems.push(`${fullName(method)} ${label}: ${problem}`);
				}
			};
			const first = method.methodKind === "bidi_streaming" ? [maker.good(method.input)] : [];
			await call([maker.good(method.input)], "good", []);
			if (!target.missing.has(fullName(method))) {
				const jobs = function* () {
					for (const { path, field, label, bytes } of maker.spoilt(method.input)) {
						const messages = [...(path[0] === "join" ? [] : first), bytes];
						const within = field.message === undefined ? [] : fieldNames(field.message);
						const names = [...path.slice(-2), field.oneof?.name ?? field.name, ...within];
						yield () => call(messages, `${path.join(".")} ${label}`, names);
					}
				};
				await runAll(jobs());
			}
			world.end();
		}
		console.log(`${count} messages`);
		await target.check(problems);
	});

	it(`answers ${messageCount} random messages with a code`, async () => {
		const target = await startTarget();
		const problems: string[] = [];
		const codes = new Map<string, number>();
		for (let round = 0; round < roundCount; round++) {
			const world = await target.world();
			const random = new Random(`${seed} ${round}`);
			const maker = new MessageMaker(random, world);
			const jobs = function* () {
				for (let i = 0; i < messageCount / roundCount; i++) {
					const method = random.pick(methods);
					const isDuplex = method.methodKind === "bidi_streaming";
					const made = Array.from({ length: isDuplex ? random.integer(1, 5) : 1 }, () => maker.random(method.input));
					yield async () => {
						const end = await send(
							target,
							method,
							made.map(({ bytes }) => bytes),
						);
						codes.set(end.code, (codes.get(end.code) ?? 0) + 1);
						if (end.code === "UNIMPLEMENTED") {
							target.missing.add(fullName(method));
							return;
						}
						const problem = problemOf(method, end, fieldNames(method.input));
						if (problem !== undefined) {
							const label = made.map((each) => each.label).join(" | ");
							problems.push(`${fullName(method)}, round ${round}, message ${i} (${label}): ${problem}`);
						}
					};
				}
			};
			await runAll(jobs());
			world.end();
		}
		console.log([...codes].map(([code, count]) => `${count} ${code}`).join(", "));
		await target.check(problems);
	});
});
