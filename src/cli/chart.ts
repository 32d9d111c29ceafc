import { axisOf } from "./chart-axis.js";
import { ChartCanvas } from "./chart-canvas.js";
import { displayWidth, elide, padTo } from "./display-width.js";
import type { SeriesPoint } from "./series-buckets.js";
import type { TextStyle } from "./terminal.js";

/** One line of a chart. */
export interface ChartSeries {
	readonly name: string;
	/** In the order of x. */
	readonly points: readonly SeriesPoint[];
}

/** How a chart is drawn. */
export interface ChartOptions {
	/** Stands above it. */
	readonly title: string;
	/** What x counts. */
	readonly xTitle: string;
	/** The width of all of it, in columns. */
	readonly columns: number;
	/** Whether it may have characters beyond ASCII. */
	readonly isUnicode: boolean;
	/** Whether series are told apart by their colours, rather than by their markers. */
	readonly hasColours: boolean;
	/** Returns a text in a style. */
	readonly style: (style: TextStyle, text: string) => string;
}

const rows = 12;
const colours: readonly TextStyle[] = ["cyan", "yellow", "magenta", "green", "red", "blue"];
const markers = { unicode: ["●", "○", "▲", "△", "■", "□"], ascii: ["*", "o", "x", "+", "#", "@"] };

/**
 * Draws series by x as text of several lines: with dots of braille, or with a marker for each series where several
 * cannot be told apart by colours, or only ASCII can be shown. Each has at least one point.
 */
export function drawChart(series: readonly ChartSeries[], options: ChartOptions): string {
	const { isUnicode, hasColours, style } = options;
	const points = series.flatMap((one) => one.points);
	const yAxis = axisOf(
		points.reduce((least, { min }) => Math.min(least, min), Number.POSITIVE_INFINITY),
		points.reduce((most, { max }) => Math.max(most, max), Number.NEGATIVE_INFINITY),
	);
	const labelWidth = Math.max(...yAxis.ticks.map(({ label }) => label.length));
	const width = Math.max(10, options.columns - labelWidth - 2);
	const xFrom = points.reduce((least, { fromX }) => Math.min(least, fromX), Number.POSITIVE_INFINITY);
	const xTo = points.reduce((most, { toX }) => Math.max(most, toX), Number.NEGATIVE_INFINITY);
	const canvas = new ChartCanvas(width, rows, isUnicode && (series.length === 1 || hasColours));
	const placeX = ({ fromX, toX }: SeriesPoint) =>
		Math.round((xTo === xFrom ? 0.5 : ((fromX + toX) / 2 - xFrom) / (xTo - xFrom)) * (canvas.width - 1));
	const placeY = (y: number) => Math.round((1 - yAxis.place(y)) * (canvas.height - 1));
	for (const [index, { points }] of series.entries()) {
		let before: SeriesPoint | undefined;
		for (const point of points) {
			const x = placeX(point);
			canvas.line(x, placeY(point.min), x, placeY(point.max), index);
			if (before !== undefined) {
				canvas.line(placeX(before), placeY(before.last), x, placeY(point.first), index);
			}
			before = point;
		}
	}
	const markersOf = isUnicode ? markers.unicode : markers.ascii;
	const colourOf = (index: number) => (series.length > 1 ? colours[index % colours.length] : undefined);
	const styled = (index: number, text: string) => {
		const colour = colourOf(index);
		return colour === undefined ? text : style(colour, text);
	};
	const labels = new Map(yAxis.ticks.map(({ at, label }) => [Math.round((1 - at) * (rows - 1)), label]));
	const [tick, line, corner, floor] = isUnicode ? ["┤", "│", "└", "─"] : ["+", "|", "+", "-"];
	const body = canvas
		.rows(markersOf, styled)
		.map((row, i) => `${padTo(labels.get(i) ?? "", labelWidth, "right")} ${labels.has(i) ? tick : line}${row}`);
	return [
		style("bold", elide(options.title, options.columns, isUnicode ? "…" : "...")),
		...body.map((row) => row.trimEnd()),
		`${" ".repeat(labelWidth)} ${corner}${floor?.repeat(width)}`,
		" ".repeat(labelWidth + 2) + xLabels(xFrom, xTo, options.xTitle, width),
		...legend(series, options.columns, (i) => styled(i, (canvas.isFine ? "━" : markersOf[i]) ?? "")),
		"",
	].join("\n");
}

/** The least x at the left, the largest at the right, and what they count between them. */
function xLabels(from: number, to: number, title: string, width: number): string {
	if (from === to) {
		const text = `${title} ${from}`;
		return `${" ".repeat(Math.max(0, Math.round((width - text.length) / 2)))}${text}`;
	}
	const [left, right] = [String(from), String(to)];
	const room = width - left.length - right.length;
	const before = Math.max(1, Math.floor((room - title.length) / 2));
	const after = Math.max(1, room - before - title.length);
	return `${left}${" ".repeat(before)}${title}${" ".repeat(after)}${right}`;
}

/** Names the series, as many in a line as fit; nothing where there is only one. */
function legend(series: readonly ChartSeries[], columns: number, markerOf: (index: number) => string): string[] {
	const lines: string[] = [];
	let used = columns;
	for (const [i, { name }] of series.length > 1 ? series.entries() : []) {
		const item = `  ${markerOf(i)} ${name}`;
		const width = displayWidth(name) + 4;
		if (used + width > columns) {
			lines.push(item);
			used = width;
		} else {
			lines.push(`${lines.pop()}${item}`);
			used += width;
		}
	}
	return lines;
}
