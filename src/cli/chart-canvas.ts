/** The bit of each dot of a braille character, by row and column. */
const brailleBits = [
	[0x01, 0x08],
	[0x02, 0x10],
	[0x04, 0x20],
	[0x40, 0x80],
];

interface Cell {
	dots: number;
	/** The series that drew here last. */
	series: number;
}

/** A drawing of characters: with 2 x 4 dots of braille in each, or with a marker in each. */
export class ChartCanvas {
	/** Whether it has dots. */
	readonly isFine: boolean;
	/** How many places there are from left to right. */
	readonly width: number;
	/** How many places there are from top to bottom. */
	readonly height: number;
	readonly #columns: number;
	readonly #cells: (Cell | undefined)[];

	constructor(columns: number, rows: number, isFine: boolean) {
		this.isFine = isFine;
		this.width = isFine ? columns * 2 : columns;
		this.height = isFine ? rows * 4 : rows;
		this.#columns = columns;
		this.#cells = new Array(columns * rows);
	}

	/** Draws a straight line of a series, its ends included. Places are counted from the left and from the top. */
	line(fromX: number, fromY: number, toX: number, toY: number, series: number): void {
		const steps = Math.max(Math.abs(toX - fromX), Math.abs(toY - fromY));
		for (let i = 0; i <= steps; i++) {
			const part = steps === 0 ? 0 : i / steps;
			this.#dot(Math.round(fromX + part * (toX - fromX)), Math.round(fromY + part * (toY - fromY)), series);
		}
	}

	/** The lines of text, from the top, with a marker for each series and in its style. */
	rows(markers: readonly string[], styled: (series: number, text: string) => string): string[] {
		const rows: string[] = [];
		for (let start = 0; start < this.#cells.length; start += this.#columns) {
			let row = "";
			let run = "";
			let runSeries: number | undefined;
			const flush = () => {
				row += runSeries === undefined ? run : styled(runSeries, run);
				run = "";
			};
			for (let i = start; i < start + this.#columns; i++) {
				const cell = this.#cells[i];
				if (cell?.series !== runSeries) {
					flush();
					runSeries = cell?.series;
				}
				run += cell === undefined ? " " : this.isFine ? String.fromCodePoint(0x2800 + cell.dots) : markers[cell.series];
			}
			flush();
			rows.push(row);
		}
		return rows;
	}

	#dot(x: number, y: number, series: number): void {
		const [column, row] = this.isFine ? [x >> 1, y >> 2] : [x, y];
		const index = row * this.#columns + column;
		const dots = this.#cells[index]?.dots ?? 0;
		this.#cells[index] = { dots: dots | (brailleBits[y & 3]?.[x & 1] ?? 0), series };
	}
}
