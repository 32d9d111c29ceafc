import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampDate, timestampFromDate } from "@bufbuild/protobuf/wkt";
import { MillraceError } from "../errors.js";
import { OrderBy } from "../gen/millrace/v1/list_pb.js";
import { type LogEntry, LogLevel, LogStream } from "../gen/millrace/v1/log_pb.js";
import type { LogService, StreamTrialLogsRequestSchema } from "../gen/millrace/v1/log_service_pb.js";
import type { RpcClient } from "../rpc/client.js";
import { assertKnownOptions } from "./assert-options.js";
import { type AsyncList, asyncList } from "./async-list.js";
import { type LogLevelName, logLevelNames } from "./log-level.js";
import { resumedStream } from "./resumed-stream.js";
import { shown } from "./shown.js";

/** A line that a worker of a trial printed. */
export interface TrialLog {
	/** The id; it grows in the order of arrival. */
	readonly id: number;
	/** The trial. */
	readonly trialId: number;
	/** The run of the trial, from 1; null if it is not known. */
	readonly trialRunId: number | null;
	/** The rank of the worker; null if it is not known. */
	readonly rank: number | null;
	/** How grave it is, where the line's beginning says so; else INFO. */
	readonly level: LogLevelName;
	/** When it was printed. */
	readonly time: Date;
	/** Where it was printed; null if it is not known. */
	readonly stream: "stdout" | "stderr" | null;
	/** The program whose line it is: "worker", or "launch" for what `millrace launch` says of a failure. */
	readonly source: string;
	/** The host. */
	readonly host: string;
	/** The line, without its end. */
	readonly text: string;
	/** The line as it is shown: `[2026-11-22T21:00:00.123Z] [rank=0] || INFO: text`. */
	readonly message: string;
}

/**
 * Which lines `trial.iterLogs` reads. A line has to pass every filter.
 *
 * Python: the arguments of `Trial.iter_logs`
 */
export interface TrialLogOptions {
	/** Whether to go on with what is printed later, until the trial has ended. Default false. */
	readonly follow?: boolean | undefined;
	/** Only the first lines, so many. Not together with `tail`. Default: all. */
	readonly head?: number | undefined;
	/** Only the last lines, so many; with `follow`, and all that come later. Default: all. */
	readonly tail?: number | undefined;
	/** Only lines of workers with these ranks. Default: any. */
	readonly rankIds?: readonly number[] | undefined;
	/** Only lines of this level or a graver one. Default: any. */
	readonly minLevel?: LogLevelName | undefined;
	/** Only lines printed there. Default: both. */
	readonly stdtypes?: readonly ("stdout" | "stderr")[] | undefined;
	/** Only lines of these programs, such as "worker" or "launch". Default: any. */
	readonly sources?: readonly string[] | undefined;
	/** Only lines printed before this time. */
	readonly timestampBefore?: Date | undefined;
	/** Only lines printed after this time. */
	readonly timestampAfter?: Date | undefined;
	/** Only lines that contain this text, in any case. */
	readonly searchText?: string | undefined;
	/** Whether `searchText` is a regular expression of JavaScript. Default false. */
	readonly enableRegex?: boolean | undefined;
}

type Request = MessageInitShape<typeof StreamTrialLogsRequestSchema>;
type Logs = Pick<RpcClient<typeof LogService>, "streamTrialLogs">;

/** Reads what the workers of a trial printed, as `trial.iterLogs` does, from the server that `connect` finds. */
export function trialLogList(
	trialId: number,
	options: TrialLogOptions,
	connect: () => Promise<{ readonly logs: Logs }>,
): AsyncList<TrialLog> {
	return asyncList(async function* () {
		const { follow = false, head = 0, tail = 0 } = checked(options);
		const filter = { trialId, ...filterOf(options) };
		if (tail === 0) {
			yield* readLogs({ ...filter, follow, limit: head }, connect);
			return;
		}
		const last: TrialLog[] = [];
		for await (const log of readLogs({ ...filter, orderBy: OrderBy.DESC, limit: tail }, connect)) {
			last.push(log);
		}
		yield* last.reverse();
		if (follow) {
			yield* readLogs({ ...filter, follow, afterId: BigInt(last.at(-1)?.id ?? 0) }, connect);
		}
	});
}

async function* readLogs(request: Request, connect: () => Promise<{ readonly logs: Logs }>): AsyncGenerator<TrialLog> {
	const open = async (resumeToken: string) => (await connect()).logs.streamTrialLogs({ ...request, resumeToken });
	for await (const { entries } of resumedStream(open)) {
		for (const entry of entries) {
			yield toTrialLog(entry);
		}
	}
}

function filterOf(options: TrialLogOptions): Request {
	const { minLevel, timestampBefore, timestampAfter } = options;
	return {
		ranks: [...(options.rankIds ?? [])],
		minLevel: minLevel === undefined ? LogLevel.UNSPECIFIED : LogLevel[minLevel],
		streams: (options.stdtypes ?? []).map((name) => (name === "stdout" ? LogStream.STDOUT : LogStream.STDERR)),
		sources: [...(options.sources ?? [])],
		...(timestampBefore && { timeBefore: timestampFromDate(timestampBefore) }),
		...(timestampAfter && { timeAfter: timestampFromDate(timestampAfter) }),
		searchText: options.searchText ?? "",
		enableRegex: options.enableRegex ?? false,
	};
}

function checked(options: TrialLogOptions): TrialLogOptions {
	assertKnownOptions(options, "iterLogs", [
		"follow",
		"head",
		"tail",
		"rankIds",
		"minLevel",
		"stdtypes",
		"sources",
		"timestampBefore",
		"timestampAfter",
		"searchText",
		"enableRegex",
	]);
	const { head, tail, minLevel } = options;
	for (const [name, count] of Object.entries({ head, tail })) {
		if (count !== undefined && !(Number.isInteger(count) && count >= 1 && count <= 2_147_483_647)) {
			throw wrong(name, count, "a whole number from 1");
		}
	}
	if (head !== undefined && tail !== undefined) {
		throw new MillraceError("invalid_argument", "head and tail of iterLogs are both given; give one of them");
	}
	if (minLevel !== undefined && !logLevelNames.includes(minLevel)) {
		throw wrong("minLevel", minLevel, `one of ${logLevelNames.join(", ")}`);
	}
	const isRank = (rank: unknown) => Number.isInteger(rank) && Number(rank) >= 0 && Number(rank) <= 2_147_483_647;
	assertItems("rankIds", options.rankIds, "ranks, from 0", isRank);
	assertItems("stdtypes", options.stdtypes, '"stdout" and "stderr"', (name) => name === "stdout" || name === "stderr");
	assertItems("sources", options.sources, "texts", (name) => typeof name === "string");
	for (const name of ["timestampBefore", "timestampAfter"] as const) {
		const time: unknown = options[name];
		if (time !== undefined && !(time instanceof Date && !Number.isNaN(time.getTime()))) {
			throw wrong(name, time, "a Date");
		}
	}
	if (options.searchText !== undefined && typeof options.searchText !== "string") {
		throw wrong("searchText", options.searchText, "a text");
	}
	for (const name of ["follow", "enableRegex"] as const) {
		if (options[name] !== undefined && typeof options[name] !== "boolean") {
			throw wrong(name, options[name], "true or false");
		}
	}
	return options;
}

function assertItems(name: string, items: unknown, what: string, fits: (item: unknown) => boolean): void {
	if (items !== undefined && !(Array.isArray(items) && items.every(fits))) {
		throw wrong(name, items, `an array of ${what}`);
	}
}

function wrong(name: string, value: unknown, wanted: string): MillraceError {
	return new MillraceError("invalid_argument", `${name} of iterLogs is ${shown(value)}; it must be ${wanted}`);
}

function toTrialLog(entry: LogEntry): TrialLog {
	const { trialId, source, host, text } = entry;
	const level = (logLevelNames as readonly string[]).includes(LogLevel[entry.level] ?? "")
		? (LogLevel[entry.level] as LogLevelName)
		: "INFO";
	const time = entry.time === undefined ? new Date(0) : timestampDate(entry.time);
	const rank = entry.rank ?? null;
	const place = rank === null ? "" : ` [rank=${rank}]`;
	return {
		id: Number(entry.id),
		trialId,
		trialRunId: entry.trialRunId || null,
		...{ rank, level, time },
		stream: streamNames[entry.stream] ?? null,
		...{ source, host, text },
		message: `[${time.toISOString()}]${place} || ${level}: ${text}`,
	};
}

const streamNames: Readonly<Partial<Record<LogStream, "stdout" | "stderr">>> = {
	[LogStream.STDOUT]: "stdout",
	[LogStream.STDERR]: "stderr",
};
