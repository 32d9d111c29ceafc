import { PassThrough, Writable } from "node:stream";
import { Terminal } from "../../src/cli/terminal.js";

/** What a command meets. */
export interface Surroundings {
	/** The width of the terminal. Default: stdout is a file. */
	readonly columns?: number | undefined;
	/** Its height. */
	readonly rows?: number | undefined;
	/** The environment. Default: one of UTF-8, without colours. */
	readonly env?: Readonly<Record<string, string>> | undefined;
	/** What a person at the terminal answers, to each question one. Default: stdin is a file. */
	readonly answers?: readonly string[] | undefined;
	/** What is in the file that stdin is. Default: nothing. */
	readonly input?: string | undefined;
	/** The time, in milliseconds. Default: the system's clock. */
	readonly now?: number | (() => number) | undefined;
}

/** A terminal, and what was written to it. */
export interface KeptTerminal {
	readonly terminal: Terminal;
	stdout(): string;
	stderr(): string;
	/** Gives the terminal another size, which it tells. */
	resize(columns: number, rows: number): void;
}

/** Makes a terminal that keeps what is written. */
export function keptTerminal(surroundings: Surroundings = {}): KeptTerminal {
	const { columns, rows, env = { LANG: "C.UTF-8", NO_COLOR: "1" }, answers, input, now } = surroundings;
	const stdout = Object.assign(new Kept(), { isTTY: columns !== undefined, columns, rows });
	const stdin = new PassThrough();
	const left = [...(answers ?? [])];
	const stderr = new Kept((text) => {
		if (answers !== undefined && /(: |\] )$/.test(text)) {
			const answer = left.shift();
			// As by Ctrl-D where there is none left.
			setImmediate(() => (answer === undefined ? stdin.end() : stdin.write(`${answer}\n`)));
		}
	});
	if (answers === undefined) {
		stdin.end(input);
	}
	const terminal = new Terminal({
		stdin: Object.assign(stdin, { isTTY: answers !== undefined }),
		stdout,
		stderr: Object.assign(stderr, { isTTY: answers !== undefined }),
		env,
		...(now !== undefined && { now: typeof now === "number" ? () => now : now }),
	});
	return {
		terminal,
		stdout: () => stdout.text,
		stderr: () => stderr.text,
		resize(columns, rows) {
			Object.assign(stdout, { columns, rows });
			stdout.emit("resize");
		},
	};
}

class Kept extends Writable {
	text = "";
	readonly #onText: (text: string) => void;

	/** @param onText Called with each text that is written. */
	constructor(onText: (text: string) => void = () => {}) {
		super();
		this.#onText = onText;
	}

	override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
		this.text += chunk.toString();
		this.#onText(chunk.toString());
		done();
	}
}
