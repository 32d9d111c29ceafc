import type { Command } from "commander";

/** Adds `millrace trial`. */
export function addTrialCommand(program: Command): void {
	program.command("trial").description("Operate on trials.");
}
