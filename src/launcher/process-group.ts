import { type ChildProcess, spawn } from "node:child_process";
import { readdirSync } from "node:fs";
import type { Readable, Writable } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { MillraceError } from "../errors.js";
import { livingGroupOf } from "./process-state.js";

/** How a process ended: exactly one of the two is set. */
export interface ProcessEnd {
	/** The exit code. */
	readonly code: number | null;
	/** The signal that killed it. */
	readonly signal: NodeJS.Signals | null;
}

/** Where and how a command runs. */
export interface ProcessGroupOptions {
	/** Its whole environment; MILLRACE_PARENT_PIPE is added. */
	readonly env: NodeJS.ProcessEnv;
	/** Its working directory. Default: this process's. */
	readonly cwd?: string;
}

/**
 * A command in a process group of its own, so that a signal reaches all that it starts, and no signal
 * from the terminal does. Its stdin is a pipe that we hold: if we die, the command reads its end.
 */
export class ProcessGroup {
	/** The process id of the command, which is the id of the group too. */
	readonly pid: number;
	readonly stdout: Readable;
	readonly stderr: Readable;
	/** Resolves when the command itself has ended. Others of its group may be left. */
	readonly ended: Promise<ProcessEnd>;
	/** Resolves when nothing more will come from stdout and stderr. */
	readonly closed: Promise<void>;
	readonly #parentPipe: Writable | null;
	#leaderEnded = false;
	#isGone = false;
	#killedAt: number | undefined;

	/**
	 * Starts a program with its arguments.
	 *
	 * Throws invalid_argument if there is no such program, or it may not be run.
	 */
	static async start(command: readonly string[], options: ProcessGroupOptions): Promise<ProcessGroup> {
		const [program = "", ...args] = command;
		const child = spawn(program, args, {
			detached: true,
			stdio: ["pipe", "pipe", "pipe"],
			env: { ...options.env, MILLRACE_PARENT_PIPE: "1" },
			...(options.cwd === undefined ? {} : { cwd: options.cwd }),
		});
		if (child.pid === undefined) {
			const error = await new Promise<NodeJS.ErrnoException>((resolve) => child.once("error", resolve));
			const reason = error.code === "ENOENT" ? "command not found" : error.message;
			throw new MillraceError("invalid_argument", `${program}: ${reason}; check its name and PATH`, {
				cause: error,
			});
		}
		return new ProcessGroup(child, child.pid);
	}

	private constructor(child: ChildProcess, pid: number) {
		this.pid = pid;
		this.stdout = child.stdout as Readable;
		this.stderr = child.stderr as Readable;
		this.ended = new Promise((resolve) => {
			child.once("exit", (code, signal) => {
				this.#leaderEnded = true;
				resolve({ code, signal });
			});
		});
		this.closed = new Promise((resolve) => child.once("close", () => resolve()));
		// Node would close it when the command ends. But the command may be a wrapper such as npx, whose worker
		// would take us for dead.
		this.#parentPipe = child.stdin;
		child.stdin = null;
		// Nothing is ever written to it, but a pipe can break all the same.
		this.#parentPipe?.on("error", () => {});
		child.on("error", () => {});
	}

	/** Sends a signal to every process of the group; without effect when none is left. */
	signal(signal: NodeJS.Signals): void {
		if (this.isGone()) {
			return;
		}
		if (signal === "SIGKILL") {
			this.#killedAt ??= Date.now();
		}
		try {
			process.kill(-this.pid, signal);
		} catch {
			// The last one ended just now.
		}
	}

	/** Tells whether no living process of the group is left. */
	isGone(): boolean {
		// Once it is gone the number may be given to others, so it is not asked for again.
		this.#isGone ||= this.#leaderEnded && !hasLivingMember(this.pid);
		return this.#isGone;
	}

	/** Resolves when no living process of the group is left, or 2 s after it was killed. */
	async gone(): Promise<void> {
		await this.ended;
		while (!this.isGone() && Date.now() - (this.#killedAt ?? Date.now()) < 2_000) {
			await delay(20);
		}
		this.#parentPipe?.destroy();
	}

	/** Resolves when nothing more comes out, or after 1 s: a process that left the group may hold the pipes. */
	async drained(): Promise<void> {
		const patience = new AbortController();
		await Promise.race([this.closed, delay(1_000, undefined, { signal: patience.signal }).catch(() => {})]);
		patience.abort();
		this.stdout.destroy();
		this.stderr.destroy();
	}
}

function hasLivingMember(group: number): boolean {
	try {
		process.kill(-group, 0);
	} catch (error) {
		return (error as NodeJS.ErrnoException).code === "EPERM";
	}
	// The dead whom nobody has asked after, as in a container without an init, answer signals too.
	return (
		process.platform !== "linux" ||
		readdirSync("/proc").some((entry) => /^\d+$/.test(entry) && livingGroupOf(Number(entry)) === group)
	);
}
