import { LogLevel } from "../gen/millrace/v1/log_pb.js";

/** How grave a line of a log is. */
export type LogLevelName = "TRACE" | "DEBUG" | "INFO" | "WARNING" | "ERROR" | "CRITICAL";

/** All levels, from the least grave on. */
export const logLevelNames: readonly LogLevelName[] = ["TRACE", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"];

const levels: Readonly<Record<string, LogLevel>> = {
	TRACE: LogLevel.TRACE,
	DEBUG: LogLevel.DEBUG,
	INFO: LogLevel.INFO,
	WARN: LogLevel.WARNING,
	WARNING: LogLevel.WARNING,
	ERROR: LogLevel.ERROR,
	CRITICAL: LogLevel.CRITICAL,
	FATAL: LogLevel.CRITICAL,
};

const names = Object.keys(levels)
	.sort((one, other) => other.length - one.length)
	.join("|");
const day = String.raw`\d{4}-\d\d-\d\d`;
const time = String.raw`\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?`;
const timestamp = String.raw`\[?(?:${day}[T ])?${time}\]?,?[ \t]+(?:[-|][ \t]+)?`;

/** A word between brackets, or before a colon or a bar, in any case; in capitals also before a space or the end. */
const marked = new RegExp(String.raw`^[ \t]*(?:${timestamp})?(?:[[<(](${names})[\])>]|(${names})[ \t]*[:|])`, "i");
const capitals = new RegExp(String.raw`^[ \t]*(?:${timestamp})?(${names})(?:[ \t]|$)`);

/** How much of a line is looked at. */
const headLength = 100;

/**
 * Reads the level of a line from its beginning, where it plainly says so, as in `ERROR it broke`, `[warn] careful` or
 * `2026-11-22 21:00:00,123 debug: x`; INFO for all others.
 */
export function parseLogLevel(line: string): LogLevel {
	const head = line.slice(0, headLength);
	const [, bracketed, marking] = marked.exec(head) ?? [];
	const name = bracketed ?? marking ?? capitals.exec(head)?.[1] ?? "INFO";
	return levels[name.toUpperCase()] ?? LogLevel.INFO;
}
