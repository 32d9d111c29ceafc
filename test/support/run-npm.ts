import { type CommandEnd, startCommand } from "./start-command.js";

/** Runs npm in a folder, with this process's environment: registries, proxies and certificates may be named there. */
export function runNpm(args: readonly string[], cwd: string, limitMs?: number): Promise<CommandEnd> {
	const env: Record<string, string> = {};
	for (const [name, value] of Object.entries(process.env)) {
		// Under `npm test` it names the repository, where npm would then work instead.
		if (value !== undefined && name !== "npm_config_local_prefix") {
			env[name] = value;
		}
	}
	return startCommand("npm", args, { cwd, env, ...(limitMs !== undefined && { limitMs }) }).ended;
}

/** What keeps `npm install` quick. */
export const installFlags: readonly string[] = ["--prefer-offline", "--no-audit", "--no-fund"];
