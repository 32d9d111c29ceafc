/** The variable by which a launcher tells its workers that it keeps what they print, so that they need not. */
const name = "MILLRACE_LOGS_KEPT";

/** Returns the environment of workers whose lines the process that starts them keeps. */
export function withLogsKept(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
	return { ...environment, [name]: "1" };
}

/** Tells whether whoever reads this process's output keeps its lines. */
export function areLogsKept(environment: NodeJS.ProcessEnv = process.env): boolean {
	return environment[name] === "1";
}
