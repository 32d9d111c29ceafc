/** The command that runs a TypeScript file from any working directory. */
export const nodeWithTsx: readonly [string, ...string[]] = [process.execPath, "--import", import.meta.resolve("tsx")];
