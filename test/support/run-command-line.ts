import { PassThrough, Writable } from "node:stream";
import { runCommandLine } from "../../src/cli/command-line.js";
import { Terminal } from "../../src/cli/terminal.js";

/** What a command line meets. */
export interface Surroundings {
	/** The width of the terminal. Default: stdout is a file. */
	readonly columns?: number | undefined;
	/** The environment. Default: one of UTF-8, without colours. */
	readonly env?: Readonly<Record<string, string>>;
	/** What a person at the terminal answers. Default: stdin is a file. */
	readonly answer?: string;
	/** The time, in milliseconds. Default: the system's clock. */
	readonly now?: number;
}

/** How a command line ended in this process. */
export interface CommandLineEnd {
	readonly code: number;
	readonly stdout: string;
	readonly stderr: string;
}

/** Runs `millrace` with these arguments in this process. */
export async function runInProcess(
	args: readonly string[],
	{ columns, env = { LANG: "C.UTF-8", NO_COLOR: "1" }, answer, now }: Surroundings = {},
): Promise<CommandLineEnd> {
	const stdout = new Kept();
	const stderr = new Kept();
	const stdin = new PassThrough();
	stdin.end(answer === undefined ? undefined : `${answer}\n`);
	const terminal = new Terminal({
		stdin: Object.assign(stdin, { isTTY: answer !== undefined }),
		stdout: Object.assign(stdout, { isTTY: columns !== undefined, columns }),
		stderr: Object.assign(stderr, { isTTY: answer !== undefined }),
		env,
		...(now !== undefined && { now: () => now }),
	});
	const code = await runCommandLine(args, terminal);
	return { code, stdout: stdout.text, stderr: stderr.text };
}

/** Keeps what is written. */
class Kept extends Writable {
	text = "";

	override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
		this.text += chunk.toString();
		done();
	}
}
