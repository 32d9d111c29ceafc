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
	/** What a person at the terminal answers. Default: stdin is a file. */
	readonly answer?: string | undefined;
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
	const { columns, rows, env = { LANG: "C.UTF-8", NO_COLOR: "1" }, answer, now } = surroundings;
	const stdout = Object.assign(new Kept(), { isTTY: columns !== undefined, columns, rows });
	const stderr = new Kept();
	const stdin = new PassThrough();
	stdin.end(answer === undefined ? undefined : `${answer}\n`);
	const terminal = new Terminal({
		stdin: Object.assign(stdin, { isTTY: answer !== undefined }),
		stdout,
		stderr: Object.assign(stderr, { isTTY: answer !== undefined }),
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

	override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
		this.text += chunk.toString();
		done();
	}
}
