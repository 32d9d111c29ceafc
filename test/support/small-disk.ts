import { execFileSync } from "node:child_process";
import { closeSync, openSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { after } from "node:test";
import { tempDir } from "./temp-dir.js";

/** A disk of its own, with little room. */
export interface SmallDisk {
	/** Where it is mounted. */
	readonly directory: string;
	/** Takes all the room that is left. */
	fill(): void;
	/** Gives it back. */
	free(): void;
	/** Mounts it anew, so that nothing can be written to it, or everything again. */
	setReadOnly(isReadOnly: boolean): void;
}

/** Why there can be no small disk here; false if there can. */
export const noSmallDisk: string | false = reasonAgainst();

/** Mounts a tmpfs, which is unmounted after the test, suite or file that it is called in. */
export function smallDisk(sizeBytes: number): SmallDisk {
	let directory = "";
	// Registered before the directory's own removal, so that it runs before it. What is open keeps its file.
	after(() => execFileSync("umount", ["--lazy", directory]));
	directory = tempDir();
	execFileSync("mount", ["-t", "tmpfs", "-o", `size=${sizeBytes}`, "tmpfs", directory]);
	const filler = join(directory, "filler");
	return {
		directory,
		fill() {
			const file = openSync(filler, "a");
			try {
				for (;;) {
					writeSync(file, zeros);
				}
			} catch (error) {
				if (!(error instanceof Error && "code" in error && error.code === "ENOSPC")) {
					throw error;
				}
			} finally {
				closeSync(file);
			}
		},
		free: () => rmSync(filler, { force: true }),
		setReadOnly: (isReadOnly) =>
			void execFileSync("mount", ["-o", `remount,${isReadOnly ? "ro" : "rw"},size=${sizeBytes}`, directory]),
	};
}

const zeros = Buffer.alloc(64 * 1024);

function reasonAgainst(): string | false {
	if (process.platform !== "linux" || process.getuid?.() !== 0) {
		return "only root can mount a tmpfs, and only on Linux";
	}
	try {
		// In a mount namespace of its own, so that nothing is left of the trial.
		execFileSync("unshare", ["-m", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], { stdio: "ignore" });
		return false;
	} catch {
		return "no tmpfs can be mounted here";
	}
}
