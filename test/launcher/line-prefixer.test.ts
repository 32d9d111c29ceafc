import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createLinePrefixer } from "../../src/launcher/line-prefixer.js";

function prefixed(chunks: (string | Buffer)[]): { text: string; lines: string[] } {
	let text = "";
	const lines: string[] = [];
	const prefixer = createLinePrefixer(
		"> ",
		(part) => {
			text += part;
		},
		(line) => lines.push(line),
	);
	chunks.forEach((chunk) => void prefixer.push(Buffer.from(chunk)));
	prefixer.end();
	return { text, lines };
}

describe("createLinePrefixer", () => {
	it("writes a prefix before each line", () => {
		assert.deepEqual(prefixed(["a\nb\n"]), { text: "> a\n> b\n", lines: ["a", "b"] });
	});

	it("joins the pieces of a line", () => {
		assert.equal(prefixed(["a", "b", "\nc", "\n"]).text, "> ab\n> c\n");
	});

	it("keeps empty lines", () => {
		assert.equal(prefixed(["\n\na\n\n"]).text, "> \n> \n> a\n> \n");
	});

	it("ends a last line that has no end", () => {
		assert.equal(prefixed(["a\nb"]).text, "> a\n> b\n");
	});

	it("takes a carriage return as the end of a line", () => {
		assert.equal(prefixed(["10 %\r20 %\r30 %\n"]).text, "> 10 %\n> 20 %\n> 30 %\n");
	});

	it("takes a carriage return and a line feed as one end, also when cut in two", () => {
		assert.equal(prefixed(["a\r\nb\r", "\nc\r", "d"]).text, "> a\n> b\n> c\n> d\n");
	});

	it("keeps a character whole whose bytes come one by one", () => {
		const bytes = [...Buffer.from("ä€𝄞\n")].map((byte) => Buffer.from([byte]));
		assert.equal(prefixed(bytes).text, "> ä€𝄞\n");
	});

	it("writes nothing for nothing", () => {
		assert.equal(prefixed([]).text, "");
	});
});
