import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type ChartOptions, type ChartSeries, drawChart } from "../../src/cli/chart.js";
import type { TextStyle } from "../../src/cli/terminal.js";

const options: ChartOptions = {
	title: "loss of trial 1",
	xTitle: "steps",
	columns: 40,
	isUnicode: true,
	hasColours: false,
	style: (_, text) => text,
};

function series(name: string, values: readonly number[], firstStep = 1): ChartSeries {
	const points = values.map((value, i) => {
		const step = firstStep + i;
		return { fromX: step, toX: step, min: value, max: value, first: value, last: value };
	});
	return { name, points };
}

const falling = series("falling", [8, 4, 2, 1, 0.5, 0.25, 0.125]);
const rising = series("rising", [1, 2, 3, 4, 5, 6, 7]);

function lines(...rows: readonly string[]): string {
	return `${rows.join("\n")}\n`;
}

describe("drawChart", () => {
	it("draws one series with dots of braille", () => {
		assert.equal(
			drawChart([falling], options),
			lines(
				"loss of trial 1",
				"8 ┤⠱⡀",
				"  │ ⠱⡀",
				"  │  ⠱⡀",
				"6 ┤   ⠱⡀",
				"  │    ⠱⡀",
				"  │     ⠱⡀",
				"4 ┤      ⠑⢄",
				"  │        ⠑⢄",
				"2 ┤          ⠑⢄",
				"  │            ⠉⠒⠤⣀",
				"  │                ⠉⠒⠤⢄⣀⡀",
				"  │                     ⠈⠉⠑⠒⠒⠒⠢⠤⠤⠤⠤⠤⢄⣀⣀⣀",
				"  └─────────────────────────────────────",
				"   1               steps               7",
			),
		);
	});

	it("draws several with a marker each, and says which is whose", () => {
		assert.equal(
			drawChart([falling, rising], options),
			lines(
				"loss of trial 1",
				"8 ┤●",
				"  │ ●                                 ○○",
				"  │  ●                             ○○○",
				"6 ┤   ●                        ○○○○",
				"  │    ●                  ○○○○○",
				"  │     ●              ○○○",
				"4 ┤      ●●        ○○○○",
				"  │        ●●○○○○○○",
				"2 ┤     ○○○○○ ●●●",
				"  │  ○○○         ●●●",
				"  │○○               ●●●●●●●●●●",
				"  │                           ●●●●●●●●●●",
				"  └─────────────────────────────────────",
				"   1               steps               7",
				"  ● falling  ○ rising",
			),
		);
	});

	it("draws with ASCII where nothing else can be shown", () => {
		assert.equal(
			drawChart([falling, rising], { ...options, isUnicode: false }),
			lines(
				"loss of trial 1",
				"8 +*",
				"  | *                                 oo",
				"  |  *                             ooo",
				"6 +   *                        oooo",
				"  |    *                  ooooo",
				"  |     *              ooo",
				"4 +      **        oooo",
				"  |        **oooooo",
				"2 +     ooooo ***",
				"  |  ooo         ***",
				"  |oo               **********",
				"  |                           **********",
				"  +-------------------------------------",
				"   1               steps               7",
				"  * falling  o rising",
			),
		);
		assert.equal(
			drawChart([falling], { ...options, isUnicode: false, title: "x".repeat(50) }),
			lines(
				"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...",
				"8 +*",
				"  | *",
				"  |  *",
				"6 +   *",
				"  |    *",
				"  |     *",
				"4 +      **",
				"  |        ***",
				"2 +           ***",
				"  |              ***",
				"  |                 **********",
				"  |                           **********",
				"  +-------------------------------------",
				"   1               steps               7",
			),
		);
	});

	it("draws several with dots where colours tell them apart", () => {
		const style = (name: TextStyle, text: string) => `<${name}>${text}</${name}>`;
		assert.equal(
			drawChart([falling, rising], { ...options, hasColours: true, style }),
			lines(
				"<bold>loss of trial 1</bold>",
				"8 ┤<cyan>⠱⡀</cyan>",
				"  │ <cyan>⠱⡀</cyan>                                <yellow>⢀⡠</yellow>",
				"  │  <cyan>⠱⡀</cyan>                           <yellow>⢀⡠⠔⠊⠁</yellow>",
				"6 ┤   <cyan>⠱⡀</cyan>                      <yellow>⢀⡠⠔⠊⠁</yellow>",
				"  │    <cyan>⠱⡀</cyan>                 <yellow>⢀⡠⠔⠊⠁</yellow>",
				"  │     <cyan>⠱⡀</cyan>            <yellow>⢀⡠⠔⠊⠁</yellow>",
				"4 ┤      <cyan>⠑⢄</cyan>       <yellow>⣀⠤⠒⠉⠁</yellow>",
				"  │        <cyan>⠑⢄</cyan> <yellow>⣀⠤⠒⠉</yellow>",
				"2 ┤       <yellow>⣀⠤⠒⠙</yellow><cyan>⢄</cyan>",
				"  │   <yellow>⣀⠤⠒⠉</yellow>     <cyan>⠉⠒⠤⣀</cyan>",
				"  │<yellow>⠤⠒⠉</yellow>             <cyan>⠉⠒⠤⢄⣀⡀</cyan>",
				"  │                     <cyan>⠈⠉⠑⠒⠒⠒⠢⠤⠤⠤⠤⠤⢄⣀⣀⣀</cyan>",
				"  └─────────────────────────────────────",
				"   1               steps               7",
				"  <cyan>━</cyan> falling  <yellow>━</yellow> rising",
			),
		);
	});

	it("draws a single point in the middle, and all that many steps have in common", () => {
		assert.equal(
			drawChart([series("one", [3], 7)], options),
			lines(
				"loss of trial 1",
				"  │",
				"  │",
				"  │",
				"  │",
				"  │",
				"  │",
				"3 ┤                  ⠈",
				"  │",
				"  │",
				"  │",
				"  │",
				"  │",
				"  └─────────────────────────────────────",
				"                  steps 7",
			),
		);
		const wide = [{ fromX: 1, toX: 10, min: -1, max: 1, first: 0, last: 0 }];
		assert.equal(
			drawChart([{ name: "wide", points: wide }], options),
			lines(
				"loss of trial 1",
				"   1 ┤                 ⡇",
				"     │                 ⡇",
				"     │                 ⡇",
				" 0.5 ┤                 ⡇",
				"     │                 ⡇",
				"     │                 ⡇",
				"   0 ┤                 ⡇",
				"     │                 ⡇",
				"-0.5 ┤                 ⡇",
				"     │                 ⡇",
				"     │                 ⡇",
				"  -1 ┤                 ⡇",
				"     └──────────────────────────────────",
				"      1             steps             10",
			),
		);
	});

	it("has labels that are no wider than they have to be, for numbers of any size", () => {
		const labels = (...values: number[]) =>
			drawChart([series("x", values)], options)
				.split("\n")
				.flatMap((line) => /^ *(\S+) ┤/.exec(line)?.[1] ?? []);
		assert.deepEqual(labels(0, 1), ["1", "0.8", "0.6", "0.4", "0.2", "0"]);
		assert.deepEqual(labels(-1e9, 1e9), ["1e9", "5e8", "0", "-5e8", "-1e9"]);
		assert.deepEqual(labels(1e-9, 2e-9), ["2e-9", "1.8e-9", "1.6e-9", "1.4e-9", "1.2e-9", "1e-9"]);
		assert.deepEqual(labels(1_000_000.25, 1_000_000.5), [
			"1000000.5",
			"1000000.45",
			"1000000.4",
			"1000000.35",
			"1000000.3",
			"1000000.25",
		]);
		assert.deepEqual(labels(-Number.MAX_VALUE, Number.MAX_VALUE), ["1e308", "0", "-1e308"]);
		assert.deepEqual(labels(0, Number.MIN_VALUE), ["0"]);
		assert.deepEqual(labels(1, 1 + Number.EPSILON), ["1.0000000000000002", "1"]);
		assert.deepEqual(labels(-3), ["-3"]);
	});
});
