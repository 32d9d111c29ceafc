import { randomUUID } from "node:crypto";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { MillraceError, messageOf } from "../errors.js";
import { sleep } from "../rpc/retry.js";

/** How long work on a file may seem to take, in milliseconds, before it is that of a process which died. */
const abandonedMs = 5_000;

/**
 * Does `work`, which takes milliseconds and never waits, while no other process does so for the same file. A file beside it
 * that has `.lock` at its end is there meanwhile, and its directory is made. One that a process left which died there is
 * removed when it has not changed for `patienceMs`.
 *
 * Throws what `work` throws, and `permission_denied` if the directory cannot be written.
 */
export async function whileLocked<T>(path: string, work: () => T, patienceMs = abandonedMs): Promise<T> {
	const lock = `${path}.lock`;
	const own = randomUUID();
	try {
		mkdirSync(dirname(lock), { recursive: true, mode: 0o700 });
		await take(lock, own, patienceMs);
	} catch (error) {
		throw new MillraceError("permission_denied", `${path} cannot be written: ${messageOf(error)}`, { cause: error });
	}
	try {
		return work();
	} finally {
		if (holderOf(lock) === own) {
			rmSync(lock);
		}
	}
}

async function take(lock: string, own: string, patienceMs: number): Promise<void> {
	let holder: string | undefined;
	let since = 0;
	while (!tryToMake(lock, own)) {
		const seen = holderOf(lock);
		// This clock stands still while the machine sleeps, as the holder does.
		const now = performance.now();
		if (seen !== holder) {
			[holder, since] = [seen, now];
		} else if (seen !== undefined && now - since > patienceMs) {
			rmSync(lock, { force: true });
		}
		await sleep(5 + 20 * Math.random());
	}
}

/** Makes the lock's file; returns false if it is there. */
function tryToMake(lock: string, own: string): boolean {
	try {
		writeFileSync(lock, own, { mode: 0o600, flag: "wx" });
		return true;
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code === "EEXIST") {
			return false;
		}
		throw error;
	}
}

/** Returns what tells who holds the lock; undefined if nobody does. */
function holderOf(lock: string): string | undefined {
	try {
		return readFileSync(lock, "utf8");
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code === "ENOENT") {
			return undefined;
		}
		throw error;
	}
}
