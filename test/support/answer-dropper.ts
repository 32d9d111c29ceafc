import type { DescMethod, DescService } from "@bufbuild/protobuf";
import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import { MillraceError } from "../../src/errors.js";
import type { ServiceHandlers } from "../../src/rpc/handler.js";
import { startRpcServer } from "./start-rpc-server.js";
import type { TestServer } from "./start-test-server.js";

/** An answer that the sender of a write never saw. */
export interface DroppedAnswer<State> {
	readonly method: DescMethod;
	/** What the server answered to the write when it came first. */
	readonly answer: unknown;
	/** What `look` found right after. */
	readonly state: State;
}

/** A server in between, which loses the first answer of each write, and breaks the first stream of each method. */
export interface AnswerDropper<State> {
	/** Its address as `host:port`. */
	readonly address: string;
	/** The answers that it dropped, in their order. */
	readonly dropped: readonly DroppedAnswer<State>[];
	/** The names of the methods of which it broke a stream. */
	readonly broken: ReadonlySet<string>;
}

/** A method of a client: the answer is a promise or a stream, by its kind. */
type AnyMethod = (request: object) => Promise<unknown> & AsyncIterable<unknown>;

/** Tells whether a method changes something. */
export function isWrite(method: DescMethod): boolean {
	return method.idempotency !== MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS;
}

/**
 * Starts a server that passes the calls of these services on. The first time that a write comes, the server behind has
 * done it when its sender gets UNAVAILABLE; it passes when it comes again. The first stream of a method ends after its
 * first message: that of the first method with UNAVAILABLE, of the next with RESOURCE_EXHAUSTED, as one that was read too
 * slowly, and so on in turn. All calls are made with the token, if there is one.
 */
export async function startAnswerDropper<State>(
	server: TestServer,
	services: readonly DescService[],
	look: () => Promise<State>,
	token?: string,
): Promise<AnswerDropper<State>> {
	const dropped: DroppedAnswer<State>[] = [];
	const seen = new Set<string>();
	const broken = new Set<string>();
	async function* breaking(method: DescMethod, messages: AsyncIterable<unknown> | []) {
		for await (const message of messages) {
			yield message;
			if (!broken.has(method.name)) {
				broken.add(method.name);
				throw new MillraceError(broken.size % 2 === 1 ? "unavailable" : "resource_exhausted", "the stream was broken");
			}
		}
	}
	const { address } = await startRpcServer((rpc) => {
		for (const service of services) {
			const behind = server.client(service, token) as unknown as Record<string, AnyMethod>;
			const streams = service.methods.filter(({ methodKind }) => methodKind === "server_streaming");
			const streamHandlers = streams.map((method) => [
				method.localName,
				(request: object) => breaking(method, behind[method.localName]?.(request) ?? []),
			]);
			const handlers = service.methods.map((method) => [
				method.localName,
				async (request: object) => {
					const answer = await behind[method.localName]?.(request);
					const key = `${method.name} ${JSON.stringify(request, withBigInts)}`;
					if (isWrite(method) && !seen.has(key)) {
						seen.add(key);
						dropped.push({ method, answer, state: await look() });
						throw new MillraceError("unavailable", "the first answer was dropped");
					}
					return answer;
				},
			]);
			rpc.add(service, Object.fromEntries([...handlers, ...streamHandlers]) as ServiceHandlers<typeof service>);
		}
	});
	return { address, dropped, broken };
}

function withBigInts(_key: string, value: unknown): unknown {
	return typeof value === "bigint" ? `${value}n` : value;
}
