import { execFileSync, spawnSync } from "node:child_process";
import { after } from "node:test";
import { missingProgram } from "./missing-program.js";
import { type RunningCommand, type StartCommandOptions, startCommand } from "./start-command.js";

/** A machine with its own name, network address and mounts, made of Linux namespaces. */
export interface Host {
	readonly name: string;
	/** Its address in the network of all hosts; there is no way in or out of that. */
	readonly address: string;
	/** Starts a program on it. With `mounts`, directories are mounted over others, for this program only. */
	start(words: readonly string[], options?: HostCommandOptions): RunningCommand;
	/** Drops all that it sends and is sent, as an unplugged cable does. */
	cut(): void;
	/** Ends the cut. */
	mend(): void;
}

/** Options of a program on a host. */
export interface HostCommandOptions extends StartCommandOptions {
	/** What is mounted, by the place where. */
	readonly mounts?: Readonly<Record<string, string>>;
}

/** Why hosts cannot be made here; false if they can. */
export function hostsUnavailable(): string | false {
	const missing = missingProgram(["ip", "unshare", "mount"], { root: true });
	if (missing !== false) {
		return missing;
	}
	const probe = `millrace-${process.pid}`;
	const { status, stderr } = spawnSync("ip", ["netns", "add", probe], { encoding: "utf8", timeout: 10_000 });
	spawnSync("ip", ["netns", "delete", probe], { timeout: 10_000 });
	return status === 0 ? false : `network namespaces cannot be made here: ${stderr.trim()}`;
}

/** Makes hosts on one network, and removes them after the test or suite that it is called in. It needs root. */
export function startHosts<Name extends string>(names: readonly Name[]): Record<Name, Host> {
	const commands: RunningCommand[] = [];
	const spaces: string[] = [];
	after(async () => {
		await Promise.all(commands.map((command) => command.close()));
		for (const space of spaces.reverse()) {
			spawnSync("ip", ["netns", "delete", space], { timeout: 10_000 });
		}
	});
	const addSpace = (name: string) => {
		const space = `millrace-${process.pid}-${name}`;
		ip("netns", "add", space);
		spaces.push(space);
		return space;
	};
	const network = addSpace("network");
	ip("-n", network, "link", "add", "bridge", "type", "bridge");
	ip("-n", network, "link", "set", "bridge", "up");
	const hosts = names.map((name, index): [Name, Host] => {
		const space = addSpace(name);
		const address = `10.0.0.${index + 1}`;
		const port = `port${index}`;
		ip("-n", network, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", space);
		ip("-n", network, "link", "set", port, "master", "bridge", "up");
		ip("-n", space, "address", "add", `${address}/24`, "dev", "eth0");
		ip("-n", space, "link", "set", "eth0", "up");
		ip("-n", space, "link", "set", "lo", "up");
		const host: Host = {
			name,
			address,
			start(words, { mounts = {}, ...options } = {}) {
				const bind = Object.entries(mounts).map(([place, what]) => `mount --bind '${what}' '${place}' && `);
				const script = `echo ${name} > /proc/sys/kernel/hostname && ${bind.join("")}exec "$@"`;
				const inside = ["unshare", "--uts", "--mount", "sh", "-c", script, "sh", ...words];
				const command = startCommand("ip", ["netns", "exec", space, ...inside], options);
				commands.push(command);
				return command;
			},
			// The end that the host does not see: to it, the others are silent.
			cut: () => ip("-n", network, "link", "set", port, "down"),
			mend: () => ip("-n", network, "link", "set", port, "up"),
		};
		return [name, host];
	});
	return Object.fromEntries(hosts) as Record<Name, Host>;
}

function ip(...args: string[]): void {
	execFileSync("ip", args, { timeout: 10_000, stdio: ["ignore", "ignore", "pipe"] });
}
