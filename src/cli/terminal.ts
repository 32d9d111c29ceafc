import { createInterface } from "node:readline/promises";
import { type Readable, Writable } from "node:stream";
import { text } from "node:stream/consumers";
import { styleText } from "node:util";
import { MillraceError } from "../errors.js";

/** A stream that may be a terminal. */
type MaybeTerminal<S> = S & { readonly isTTY?: boolean | undefined };

/** What surrounds a command. */
export interface TerminalStreams {
	/** Where answers to questions come from. */
	readonly stdin: MaybeTerminal<Readable>;
	/** Where results go. `columns` is the width of a terminal. */
	readonly stdout: MaybeTerminal<Writable> & {
		readonly columns?: number | undefined;
		readonly rows?: number | undefined;
	};
	/** Where everything goes that is said besides: warnings, questions, errors. */
	readonly stderr: MaybeTerminal<Writable>;
	/** Says what the reader's terminal can show: COLUMNS, NO_COLOR, TERM, LC_ALL, LC_CTYPE, LANG. */
	readonly env: Readonly<Record<string, string | undefined>>;
	/** Tells the time in milliseconds. Default: the system's clock. */
	readonly now?: () => number;
}

/** A colour or weight of text. */
export type TextStyle = "bold" | "dim" | "red" | "green" | "yellow" | "blue" | "magenta" | "cyan";

/** How wide what has to have a width is where nobody says it. */
const usualColumns = 80;

/** How high a terminal is that does not say it. */
const usualRows = 24;

/** What a command knows of its reader, and the ways to them. */
export class Terminal {
	/** The code that the command ends with; 0 unless it sets another. */
	exitCode = 0;
	/** Whether the command goes on when nobody reads its output any more, as one that owns workers does. */
	outlivesReader = false;
	readonly #streams: TerminalStreams;

	constructor(streams: TerminalStreams) {
		this.#streams = streams;
	}

	/** The time, in milliseconds since 1970. */
	get now(): number {
		return (this.#streams.now ?? Date.now)();
	}

	/** Whether a person looks at stdout. Else what is written is meant for a file or a program, and nothing of it is cut. */
	get isInteractive(): boolean {
		return this.#streams.stdout.isTTY === true;
	}

	/** The width in columns: that of COLUMNS, else of the terminal, else 80. */
	get columns(): number {
		const { env, stdout } = this.#streams;
		const asked = /^[1-9]\d{0,4}$/.test(env.COLUMNS ?? "") ? Number(env.COLUMNS) : undefined;
		return asked ?? (stdout.columns || usualColumns);
	}

	/** The height in lines: that of the terminal, else 24. */
	get rows(): number {
		return this.#streams.stdout.rows || usualRows;
	}

	/** Whether what was written can be written over: stdout is a terminal, and TERM is not "dumb". */
	get canRedraw(): boolean {
		return this.isInteractive && this.#streams.env.TERM !== "dumb";
	}

	/** Calls the listener whenever the terminal has another size. Returns the function that ends it. */
	onResize(listener: () => void): () => void {
		const { stdout } = this.#streams;
		stdout.on("resize", listener);
		return () => void stdout.off("resize", listener);
	}

	/** Whether characters beyond ASCII can be shown: the locale says UTF-8. */
	get isUnicode(): boolean {
		const { LC_ALL, LC_CTYPE, LANG } = this.#streams.env;
		return /utf-?8/i.test(LC_ALL || LC_CTYPE || LANG || "");
	}

	/** Whether stdout shows colours: it is a terminal, TERM is not "dumb", and NO_COLOR is not set. */
	get hasColours(): boolean {
		const { NO_COLOR, TERM } = this.#streams.env;
		return this.isInteractive && !NO_COLOR && TERM !== "dumb";
	}

	/** Returns the text in a style, where stdout shows colours. */
	style(style: TextStyle, text: string): string {
		// Node would look at process.stdout, and in some versions not at NO_COLOR.
		return this.hasColours ? styleText(style, text, { validateStream: false }) : text;
	}

	/** Writes to stdout. Throws `resource_exhausted` or `unknown` if it cannot be written, as on a full disk. */
	async print(text: string): Promise<void> {
		const error = await new Promise<NodeJS.ErrnoException | null | undefined>((resolve) =>
			this.#streams.stdout.write(text, resolve),
		);
		// The end of the reader is dealt with where all commands start.
		if (error && error.code !== "EPIPE") {
			throw new MillraceError(
				error.code === "ENOSPC" ? "resource_exhausted" : "unknown",
				`stdout cannot be written: ${error.message}; check the disk or file that it goes to`,
				{ cause: error },
			);
		}
	}

	/** Writes to stderr. */
	write(text: string): void {
		this.#streams.stderr.write(text);
	}

	/** Says a line on stderr, as ours. */
	say(line: string): void {
		this.write(`millrace: ${line}\n`);
	}

	/** Asks a question that is answered with yes or no; everything but "y" and "yes" is no. Undefined where nobody can be asked. */
	async confirm(question: string): Promise<boolean | undefined> {
		const answer = await this.#ask(`${question} [y/N] `);
		return answer === undefined ? undefined : /^y(es)?$/i.test(answer.trim());
	}

	/** Asks for a text in one line. "" where the input ends before it, undefined where nobody can be asked. */
	ask(question: string): Promise<string | undefined> {
		return this.#ask(`${question}: `);
	}

	/** As `ask`, for what nobody else may see: what is typed is not shown. */
	askSecret(question: string): Promise<string | undefined> {
		return this.#ask(`${question}: `, true);
	}

	/** Reads what is piped into this command to its end, and returns its lines. Undefined where a person would have to type it. */
	async readLines(): Promise<string[] | undefined> {
		const { stdin } = this.#streams;
		if (stdin.isTTY) {
			return undefined;
		}
		const lines = (await text(stdin)).split(/\r?\n/);
		return lines.at(-1) === "" ? lines.slice(0, -1) : lines;
	}

	async #ask(question: string, isSecret = false): Promise<string | undefined> {
		const { stdin, stderr } = this.#streams;
		if (!stdin.isTTY || !stderr.isTTY) {
			return undefined;
		}
		const prompt = `millrace: ${question}`;
		// A terminal of readline's shows what is typed by itself, so that a place that keeps nothing hides it.
		const lines = isSecret
			? createInterface({ input: stdin, output: nowhere(), terminal: true, historySize: 0 })
			: createInterface({ input: stdin, output: stderr, terminal: false });
		if (isSecret) {
			this.write(prompt);
		}
		try {
			// Without it the end of the input, as by Ctrl-D, would be waited for as an answer.
			const ended = new Promise<string>((resolve) => lines.once("close", () => resolve("")));
			return await Promise.race([lines.question(isSecret ? "" : prompt), ended]);
		} finally {
			lines.close();
			if (isSecret) {
				this.write("\n");
			}
		}
	}
}

function nowhere(): Writable {
	return new Writable({ write: (_chunk, _encoding, done) => done() });
}
