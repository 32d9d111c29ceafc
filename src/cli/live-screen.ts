import type { Terminal } from "./terminal.js";

// The screen of programs such as `top`: what was on the terminal is there again when it is left, whatever its width
// was meanwhile. Lines that are too long are cut at its edge, and there is no cursor.
const enter = "\x1b[?1049h\x1b[?7l\x1b[?25l";
const leave = "\x1b[?25h\x1b[?7h\x1b[?1049l";
const home = "\x1b[H";
const clearLine = "\x1b[K";
const clearBelow = "\x1b[J";

const endings = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/**
 * A terminal that is drawn over again and again. It is given back as it was: by `close`, by a signal
 * that ends this process or suspends it, and with the process itself.
 */
export class LiveScreen {
	readonly #terminal: Terminal;
	readonly #undo: (() => void)[] = [];
	#isShown = false;

	/** @param onResize Called when the terminal has another size, or is ours again after a suspension. */
	constructor(terminal: Terminal, onResize: () => void) {
		this.#terminal = terminal;
		this.#on("exit", () => this.#hide());
		for (const signal of endings) {
			this.#on(signal, () => {
				this.close();
				// Without a listener it ends the process, as whoever sent it expects.
				process.kill(process.pid, signal);
			});
		}
		this.#on("SIGTSTP", () => {
			this.#hide();
			process.kill(process.pid, "SIGSTOP");
		});
		this.#on("SIGCONT", onResize);
		this.#undo.push(terminal.onResize(onResize));
	}

	/** Shows these lines, as far as they fit, and nothing else. Throws as `Terminal.print`. */
	async draw(lines: readonly string[]): Promise<void> {
		const start = this.#isShown ? home : enter + home;
		this.#isShown = true;
		const fitting = lines.slice(0, this.#terminal.rows);
		const text = fitting.map((line) => line + clearLine).join("\r\n");
		await this.#terminal.print(`${start}${text}${clearBelow}`);
	}

	/** Gives the terminal back. */
	close(): void {
		this.#hide();
		for (const undo of this.#undo.splice(0)) {
			undo();
		}
	}

	#hide(): void {
		if (this.#isShown) {
			this.#isShown = false;
			this.#terminal.print(leave).catch(() => {});
		}
	}

	#on(event: NodeJS.Signals | "exit", listener: () => void): void {
		process.on(event, listener);
		this.#undo.push(() => process.off(event, listener));
	}
}
