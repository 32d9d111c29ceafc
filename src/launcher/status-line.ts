/** The part of a stream of this process that a status line needs. */
export interface OutputStream {
	write(data: string | Uint8Array): unknown;
	readonly isTTY?: boolean | undefined;
	readonly columns?: number | undefined;
}

const clear = "\r\x1b[2K";

/**
 * A line at the bottom of a terminal that is drawn again and again, below the output that passes through.
 * Without a terminal there is no such line, and the output passes through untouched.
 */
export class StatusLine {
	/** Whether the line can be shown. */
	readonly isShown: boolean;
	readonly #stream: OutputStream;
	#text = "";
	#isDrawn = false;
	#isAtLineStart = true;

	/** @param stream Where the line is drawn, if it is a terminal. */
	constructor(stream: OutputStream) {
		this.#stream = stream;
		this.isShown = stream.isTTY === true;
	}

	/** How many characters can be shown. */
	get width(): number {
		return (this.#stream.columns || 80) - 1;
	}

	/** Shows this text instead of the last; an empty text shows nothing. */
	show(text: string): void {
		this.#text = text;
		this.#erase();
		this.#draw();
	}

	/** Passes output on to `target` and keeps the line below it. */
	passThrough(target: OutputStream, data: string | Uint8Array): void {
		if (!this.isShown || target.isTTY !== true || data.length === 0) {
			target.write(data);
			return;
		}
		this.#erase();
		target.write(data);
		this.#isAtLineStart = typeof data === "string" ? data.endsWith("\n") : data.at(-1) === 10;
		this.#draw();
	}

	#erase(): void {
		if (this.#isDrawn) {
			this.#stream.write(clear);
			this.#isDrawn = false;
		}
	}

	#draw(): void {
		// In the middle of somebody's line it would be taken for a part of it.
		if (this.isShown && this.#text !== "" && this.#isAtLineStart) {
			this.#stream.write(this.#text.slice(0, this.width));
			this.#isDrawn = true;
		}
	}
}
