import type { Command } from "commander";

/** Adds `millrace trial`. */
export function addServerCommand(program: Command): void {
	program.command("server").description("Operate on trials.");
}
