import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { MessageFrames } from "../../src/rpc/message-frames.js";
import { messageHead } from "../support/raw-grpc.js";

const wire = Buffer.concat([
	...[messageHead(3), Buffer.from("abc")],
	messageHead(0),
	...[messageHead(300, true), Buffer.alloc(300, 7)],
	messageHead(1),
]);

describe("MessageFrames", () => {
	it("tells of each message as it begins, in pieces of whatever size it comes", () => {
		for (const size of [1, 2, 3, 4, 5, 6, 7, 11, 100, 1_000]) {
			const begun: [number, boolean][] = [];
			const frames = new MessageFrames((bytes, isCompressed) => begun.push([bytes, isCompressed]));
			for (let at = 0; at < wire.length; at += size) {
				frames.take(wire.subarray(at, at + size));
			}
			assert.deepEqual(
				begun,
				[
					[3, false],
					[0, false],
					[300, true],
					[1, false],
				],
				`pieces of ${size}`,
			);
		}
	});
});
