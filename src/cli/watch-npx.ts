import { readFileSync } from "node:fs";
import { isLivingProcess } from "../launcher/process-state.js";

/** How often it is looked whether npx is there, in milliseconds. */
const lookMs = 500;

/**
 * Calls `onEnd` once when the npx that started this process is gone: it passes a signal to the shell between us, which
 * ends without passing it on. Does nothing where npx did not start us, where a `millrace run` looks after us, and
 * without /proc. Watching does not keep this process alive.
 */
export function watchNpx(onEnd: () => void): void {
	if (process.env.npm_command !== "exec" || process.env.MILLRACE_PARENT_PIPE === "1") {
		return;
	}
	// Some shells start us, others become us.
	const npx = [process.ppid, parentOf(process.ppid)].find(isNpm);
	if (npx === undefined) {
		return;
	}
	const timer = setInterval(() => {
		if (!isLivingProcess(npx)) {
			clearInterval(timer);
			onEnd();
		}
	}, lookMs);
	timer.unref();
}

function parentOf(pid: number): number {
	return Number(/^PPid:\s+(\d+)$/m.exec(read(pid, "status"))?.[1] ?? 0);
}

function isNpm(pid: number): boolean {
	// "npm exec millrace run …" as it calls itself, else "node …/npx-cli.js …".
	return /^npm |\bnp[mx](-cli\.js)?\0/.test(read(pid, "cmdline"));
}

function read(pid: number, file: string): string {
	try {
		return readFileSync(`/proc/${pid}/${file}`, "latin1");
	} catch {
		return "";
	}
}
