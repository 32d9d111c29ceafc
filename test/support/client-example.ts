import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { type RunningCommand, startCommand } from "./start-command.js";

const root = fileURLToPath(new URL("../..", import.meta.url));

// Below node_modules git and the linter see nothing of what is built.
const workshop = join(root, "node_modules/.cache/clients");

/** What each language needs: a command whose output ends with the version, and the least version that will do. */
const toolchains = {
	python: {
		probe: "python3 -c 'import ensurepip, venv, platform; print(platform.python_version())'",
		least: [3, 10],
		name: "Python 3.10 with its modules venv and ensurepip",
	},
	go: { probe: "go env GOVERSION", least: [1, 25], name: "Go 1.25" },
	java: { probe: "mvn -version >&2 && javac -version", least: [17, 0], name: "a JDK 17 and Maven 3.8" },
} as const;

/** A language that `examples/clients` has a client in. */
export type ClientLanguage = keyof typeof toolchains;

/**
 * Returns why the client in a language cannot be built here; false if it can. In CI, where every language has to be,
 * it throws instead.
 */
export function missingLanguage(language: ClientLanguage): string | false {
	const { least, name } = toolchains[language];
	const [major = 0, minor = 0] = /(\d+)\.(\d+)/.exec(versionOf(language))?.slice(1).map(Number) ?? [];
	if (major > least[0] || (major === least[0] && minor >= least[1])) {
		return false;
	}
	const problem = `${name} or later is not installed, so that examples/clients/${language} is not tested`;
	if (process.env.CI === "true") {
		throw new Error(`${problem}; CI must have it`);
	}
	return problem;
}

function versionOf(language: ClientLanguage): string {
	return spawnSync("/bin/sh", ["-c", toolchains[language].probe], { encoding: "utf8" }).stdout.trim();
}

/** A client that was built. */
export interface ClientExample {
	/** Where it was built; a copy of its folder in `examples/clients`. */
	readonly directory: string;
	/** Starts it, as its README says, against the server at an address. */
	start(address: string, env?: Record<string, string>): RunningCommand;
}

/**
 * Builds the client in a language by the commands of its README, in a copy of it beside a copy of the protos. What was
 * built from the same files with the same compiler is built only once.
 */
export async function buildClientExample(language: ClientLanguage): Promise<ClientExample> {
	const home = join(workshop, language);
	const directory = join(home, "examples/clients", language);
	const sources = sourcesOf(["proto", `examples/clients/${language}`]);
	const digest = createHash("sha256").update(versionOf(language));
	for (const path of sources) {
		digest.update(`\0${path}\0`).update(readFileSync(join(root, path)));
	}
	const stamp = digest.digest("hex");
	const commands = readmeCommands(language);
	const runCommand = commands.pop() ?? "";
	assert.match(runCommand, / localhost:8090$/, "the last command of the README runs the client");
	if (!existsSync(join(home, stamp))) {
		rmSync(home, { recursive: true, force: true });
		for (const path of sources) {
			mkdirSync(dirname(join(home, path)), { recursive: true });
			copyFileSync(join(root, path), join(home, path));
		}
		// The whole environment: registries, proxies and certificates may be named there. Maven's compiler runs too
		// short for the JVM's second compiler, which takes half of the time.
		const env = { MAVEN_OPTS: "-XX:TieredStopAtLevel=1", ...process.env } as Record<string, string>;
		for (const command of commands) {
			const options = { cwd: directory, env, limitMs: 600_000 };
			const { code, stdout, stderr } = await startCommand("sh", ["-c", command], options).ended;
			assert.equal(code, 0, `${command}\n${stdout}\n${stderr}`);
		}
		writeFileSync(join(home, stamp), "");
	}
	return {
		directory,
		start: (address, env = {}) => {
			const command = runCommand.replace("localhost:8090", address);
			return startCommand("sh", ["-c", `exec ${command}`], { cwd: directory, env });
		},
	};
}

/** The files below some paths that git knows, or would add. */
function sourcesOf(paths: readonly string[]): string[] {
	const args = ["ls-files", "-z", "--cached", "--others", "--exclude-standard", ...paths];
	const listed = execFileSync("git", args, { cwd: root, encoding: "utf8" }).split("\0");
	return listed.filter((path) => path !== "" && existsSync(join(root, path))).sort();
}

/** The lines of the first block of commands of a client's README. */
function readmeCommands(language: ClientLanguage): string[] {
	const readme = readFileSync(join(root, "examples/clients", language, "README.md"), "utf8");
	const [, block = ""] = /^```sh\n(.*?)^```$/ms.exec(readme) ?? [];
	return block.trimEnd().split("\n");
}
