import type { Command } from "commander";

/** Adds `millrace trial`. */
export function addRunCommand(program: Command): void {
	program.command("run").description("Operate on trials.");
}
