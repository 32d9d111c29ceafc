import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type DescMethod, fromBinary, type JsonObject, type JsonValue, toJson } from "@bufbuild/protobuf";
import { Channel } from "../../../src/rpc/channel.js";
import { Random } from "../../chaos/random.js";
import { allMethods, fieldNames, fullName } from "../../support/bad-input/all-methods.js";
import { seedWorld } from "../../support/bad-input/fuzz-world.js";
import { MessageMaker } from "../../support/bad-input/message-maker.js";
import { httpCall } from "../../support/http-call.js";
import { startTestServer } from "../../support/start-test-server.js";

/** What plays the same requests again. */
const seed = process.env.MILLRACE_FUZZ_SEED ?? "millrace";
/** How many bad values each field gets. */
const valueCount = 2;

/** What no good client puts in a field, as the text of JSON. */
const texts = [
	'"\\ud800"',
	'"a\\u0000b"',
	'"\\ud83d\\ude00"',
	'"NaN"',
	'"x"',
	'""',
	"null",
	"true",
	"[]",
	"{}",
	"[null]",
	"[[]]",
	'{"": 1}',
	'{"__proto__": {"a": 1}}',
	'{"\\ud800": "\\udc00"}',
	"-1",
	"1.5",
	"1e400",
	"99999999999999999999",
	'"99999999999999999999"',
	'"2026-99-01T00:00:00Z"',
	'"0001-01-01T00:00:00Z"',
	`${"[".repeat(20_000)}${"]".repeat(20_000)}`,
	`${'{"a":'.repeat(20_000)}1${"}".repeat(20_000)}`,
];

/** All ways to a value within a value. */
function pathsIn(value: JsonValue, above: readonly string[] = []): (readonly string[])[] {
	const isObject = typeof value === "object" && value !== null;
	const inner = isObject ? Object.entries(value).flatMap(([key, part]) => pathsIn(part, [...above, key])) : [];
	return above.length === 0 ? inner : [above, ...inner];
}

/** The text of a message in which one value is another text. */
function spoilt(message: JsonObject, path: readonly string[], text: string): string {
	const mark = "what stands here is put in its place";
	const copy = structuredClone(message);
	let parent: Record<string, unknown> = copy;
	for (const key of path.slice(0, -1)) {
		parent = parent[key] as Record<string, unknown>;
	}
	parent[path.at(-1) ?? ""] = mark;
	return JSON.stringify(copy).replace(JSON.stringify(mark), () => text);
}

describe("the server at bad JSON", { timeout: 300_000 }, () => {
	it("answers a request that is good but for one value with a code, and names the field", async () => {
		const server = await startTestServer({ httpPort: 0, leaseMs: 2_000 });
		const channel = new Channel(server.address, { connectMs: 20_000, retryMs: 20_000 });
		const problems: string[] = [];
		let count = 0;
		const call = async (method: DescMethod, text: string, label: string) => {
			count++;
			const { error } = await httpCall(server.httpAddress, method, text, {
				headers: { "connect-timeout-ms": "100" },
			});
			const code = error?.code ?? "ok";
			const names = [...fieldNames(method.input)];
			const isNamed = names.some((name) => new RegExp(`\\b${name}\\b`).test(error?.message ?? ""));
			if (["internal", "unknown", "unimplemented", "data_loss", "unavailable"].includes(code)) {
				problems.push(`${fullName(method)} ${label}: ${code} ${error?.message}`);
			} else if (code === "invalid_argument" && !isNamed) {
				problems.push(`${fullName(method)} ${label} names no field: ${error?.message.slice(0, 300)}`);
			}
		};
		const methods = (await allMethods()).filter(({ methodKind }) => methodKind !== "bidi_streaming");
		for (const service of new Set(methods.map(({ parent }) => parent))) {
			const world = await seedWorld(channel);
			for (const method of service.methods.filter((each) => methods.includes(each))) {
				const random = new Random(`${seed} ${fullName(method)}`);
				const bytes = new MessageMaker(random, world).good(method.input);
				const good = toJson(method.input, fromBinary(method.input, bytes)) as JsonObject;
				await call(method, JSON.stringify(good), "good");
				for (const path of pathsIn(good)) {
					for (let i = 0; i < valueCount; i++) {
						const text = random.pick(texts);
						await call(method, spoilt(good, path, text), `${path.join(".")} ${text.slice(0, 40)}`);
					}
				}
			}
			world.end();
		}
		console.log(`${count} requests`);
		assert.deepEqual(problems.slice(0, 50), [], `${problems.length} problems`);
		assert.deepEqual(server.logged, []);
		channel.close();
	});
});
