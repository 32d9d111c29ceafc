import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { StatusLine } from "../../src/launcher/status-line.js";

function recorder(isTTY: boolean, columns?: number) {
	let written = "";
	return {
		isTTY,
		columns,
		write: (data: string | Uint8Array) => {
			written += typeof data === "string" ? data : Buffer.from(data).toString();
		},
		written: () => written.replaceAll("\r\x1b[2K", "<clear>"),
	};
}

describe("StatusLine", () => {
	it("draws the line again and again", () => {
		const terminal = recorder(true);
		const status = new StatusLine(terminal);
		status.show("1 %");
		status.show("2 %");
		status.show("");
		assert.equal(terminal.written(), "1 %<clear>2 %<clear>");
	});

	it("keeps the line below what passes through", () => {
		const terminal = recorder(true);
		const status = new StatusLine(terminal);
		status.show("1 %");
		status.passThrough(terminal, Buffer.from("hello\n"));
		assert.equal(terminal.written(), "1 %<clear>hello\n1 %");
	});

	it("does not draw into a line that is not finished", () => {
		const terminal = recorder(true);
		const status = new StatusLine(terminal);
		status.passThrough(terminal, "hel");
		status.show("1 %");
		status.passThrough(terminal, "lo\n");
		assert.equal(terminal.written(), "hello\n1 %");
	});

	it("leaves output alone that goes elsewhere", () => {
		const [terminal, file] = [recorder(true), recorder(false)];
		const status = new StatusLine(terminal);
		status.show("1 %");
		status.passThrough(file, "hel");
		assert.equal(terminal.written(), "1 %");
		assert.equal(file.written(), "hel");
	});

	it("is cut to the width of the terminal", () => {
		const terminal = recorder(true, 5);
		new StatusLine(terminal).show("123456789");
		assert.equal(terminal.written(), "1234");
	});

	it("writes nothing of its own without a terminal", () => {
		const file = recorder(false);
		const status = new StatusLine(file);
		status.show("1 %");
		status.passThrough(file, "a");
		assert.equal(file.written(), "a");
		assert.equal(status.isShown, false);
	});
});
