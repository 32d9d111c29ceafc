import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type Column, printTable } from "../../src/cli/table.js";
import { keptTerminal } from "../support/kept-terminal.js";

interface Row {
	readonly name: string;
	readonly size: number;
}

const columns: readonly Column<Row>[] = [
	{ title: "NAME", text: ({ name }) => name, isCuttable: true, style: ({ size }) => (size > 9 ? "red" : undefined) },
	{ title: "SIZE", text: ({ size }) => String(size), align: "right" },
];

async function tableOf(rows: readonly Row[], look: { columns?: number; env?: Record<string, string> } = {}) {
	const { terminal, stdout } = keptTerminal(look);
	await printTable(terminal, columns, rows);
	return stdout();
}

describe("printTable", () => {
	it("aligns by what a terminal shows, not by how many characters there are", async () => {
		const names = ["日本", "e\u0301", "👩‍👩‍👧", "x"];
		const rows = names.map((name, i) => ({ name, size: 10 ** i }));
		assert.equal(
			await tableOf(rows),
			["NAME  SIZE", "日本     1", "e\u0301       10", "👩‍👩‍👧     100", "x     1000", ""].join("\n"),
		);
	});

	it("cuts a wide character whole or not at all, and says that something was cut", async () => {
		const rows = [{ name: "日本語日本語", size: 1 }];
		assert.equal(await tableOf(rows, { columns: 13 }), "NAME     SIZE\n日本語…     1\n");
		assert.equal(await tableOf(rows, { columns: 12 }), "NAME    SIZE\n日本…      1\n");
		assert.equal(
			await tableOf(rows, { columns: 12, env: { LANG: "C", NO_COLOR: "1" } }),
			"NAME    SIZE\n日...      1\n",
		);
	});

	it("cuts nothing in a file, nor what may not be cut", async () => {
		const rows = [{ name: "n".repeat(300), size: 123_456_789 }];
		assert.equal((await tableOf(rows)).split("\n")[1], `${"n".repeat(300)}  123456789`);
		assert.equal((await tableOf(rows, { columns: 5 })).split("\n")[1], "nn…  123456789");
	});

	it("lets nothing that users wrote move the cursor or break a line", async () => {
		const rows = [{ name: " a\n\tb\u001b[2Jc\u0007d\u009be ", size: 1 }];
		assert.equal((await tableOf(rows)).split("\n")[1], "a b\\x1b[2Jc\\x07d\\x9be     1");
	});

	it("colours on a terminal, and not with NO_COLOR, on a dumb one, or in a file", async () => {
		const rows = [{ name: "x", size: 10 }];
		const red = "\u001b[1mNAME\u001b[22m  \u001b[1mSIZE\u001b[22m\n\u001b[31mx\u001b[39m       10\n";
		const plain = "NAME  SIZE\nx       10\n";
		assert.equal(await tableOf(rows, { columns: 80, env: {} }), red);
		assert.equal(await tableOf(rows, { columns: 80, env: { NO_COLOR: "" } }), red);
		for (const env of [{ NO_COLOR: "1" }, { TERM: "dumb" }]) {
			assert.equal(await tableOf(rows, { columns: 80, env }), plain);
		}
		assert.equal(await tableOf(rows, { env: {} }), plain);
	});

	it("prints rows while others come, and makes a column wider that has to be", async () => {
		const { terminal, stdout } = keptTerminal();
		const count = await printTable(
			terminal,
			columns,
			(function* () {
				for (let i = 0; i < 1_000; i++) {
					assert.equal(stdout() === "", i < 500);
					yield { name: "x", size: i < 999 ? 1 : 1_000_000 };
				}
			})(),
		);
		const lines = stdout().split("\n");
		assert.deepEqual([count, lines.length], [1_000, 1_002]);
		assert.deepEqual([lines[1], lines[500]], ["x        1", "x        1"]);
		assert.deepEqual([lines[501], lines[1000]], ["x           1", "x     1000000"]);
	});

	it("shows rows of a live list as they come", async () => {
		const { terminal, stdout } = keptTerminal();
		let release = () => {};
		const held = new Promise<void>((resolve) => {
			release = resolve;
		});
		const rows = (async function* () {
			yield { name: "first", size: 1 };
			await held;
			yield { name: "second", size: 2 };
		})();
		const printed = printTable(terminal, columns, rows, { isLive: true });
		while (stdout() === "") {
			await new Promise((resolve) => setImmediate(resolve));
		}
		assert.equal(stdout(), "NAME   SIZE\nfirst     1\n");
		release();
		assert.equal(await printed, 2);
		assert.match(stdout(), /\nsecond {5}2\n$/);
	});
});
