import type { Timestamp } from "@bufbuild/protobuf/wkt";
import { MillraceError } from "../../errors.js";
import { OrderBy } from "../../gen/millrace/v1/list_pb.js";
import { LogLevel, LogStream, type NewLogEntry } from "../../gen/millrace/v1/log_pb.js";
import type { LogService, StreamTrialLogsRequest } from "../../gen/millrace/v1/log_service_pb.js";
import { cutLine } from "../../log-line.js";
import type { ServiceHandlers } from "../../rpc/handler.js";
import { callerName } from "../auth/caller-name.js";
import type { Reader } from "../db/database.js";
import { type LogFilter, logPage } from "../db/log-pages.js";
import { type NewLogLine, newestLine, writeLogs } from "../db/trial-logs.js";
import { getTrialRow } from "../db/trials.js";
import { readerInTurn } from "../in-turn.js";
import { type LineSearch, startSearch } from "../line-search.js";
import { LogFollow } from "../log-follow.js";
import { assertId, assertNotNegative, assertText, checkedCount, checkedTime } from "../request-checks.js";
import { parseResumeToken, writeResumeToken } from "../resume-token.js";
import type { ServiceContext } from "./service-context.js";

/** The most lines of one call. */
const largestCall = 10_000;

/** A place in a stream: the id of the last line, how many were sent, and the id before which it ends; 0 for none. */
type LogPosition = readonly [lastId: number, count: number, end: number];

/** Keeps what the workers of trials print. */
export function createLogService({ db }: ServiceContext): ServiceHandlers<typeof LogService> {
	const serverStart = Date.now();
	return {
		async writeLogs({ clientId, sequence, trialId, entries, last }, { caller }) {
			assertText("client_id", clientId);
			assertShort("client_id", clientId, 128);
			if (sequence < 1n || sequence > Number.MAX_SAFE_INTEGER) {
				throw new MillraceError("invalid_argument", `sequence is ${sequence}; calls count from 1`);
			}
			assertId("trial_id", trialId);
			if (entries.length > largestCall) {
				throw new MillraceError(
					"invalid_argument",
					`entries has ${entries.length} lines; send at most ${largestCall} in a call`,
				);
			}
			const lines = entries.map((entry, i) => checkedLine(`entries[${i}]`, entry));
			const sender = { clientId, caller: callerName(caller) };
			const call = { sender, sequence: Number(sequence), trialId, lines, isLast: last };
			await db.write((tx) => writeLogs(tx, call));
			return {};
		},

		async *streamTrialLogs(request, context) {
			const { signal } = context;
			const filter = checkedFilter(request);
			await getTrialRow(db, request.trialId);
			const search = startSearch(request.searchText, request.enableRegex);
			try {
				const following = new LogFollow(db, request.trialId, serverStart, signal);
				yield* streamLogs(readerInTurn(db, context), request, filter, search, following, signal);
			} finally {
				search.close();
			}
		},
	};
}

async function* streamLogs(
	db: Reader,
	request: StreamTrialLogsRequest,
	filter: LogFilter,
	search: LineSearch,
	following: LogFollow,
	signal: AbortSignal,
) {
	const { follow, limit, orderBy, resumeToken, searchText, enableRegex, afterId } = request;
	const isDescending = orderBy === OrderBy.DESC;
	const name = `logs ${JSON.stringify([filter, follow, limit, isDescending, searchText, enableRegex, Number(afterId)])}`;
	let position = parseResumeToken<LogPosition>(name, resumeToken, 3);
	if (position === undefined) {
		const end = follow ? 0 : (await newestLine(db, request.trialId)) + 1;
		position = [isDescending ? end : Number(afterId), 0, end];
	}
	if (follow) {
		yield { entries: [], resumeToken: writeResumeToken(name, position) };
	}
	for (;;) {
		const isLast = !follow || (await following.isLastReading());
		for (let isRead = false; !isRead; ) {
			const [lastId, , end]: LogPosition = position;
			const range = isDescending
				? { after: Number(afterId), before: lastId, isDescending }
				: { after: lastId, before: end || Number.MAX_SAFE_INTEGER, isDescending };
			const { lines, isLast: isAll } = await logPage(db, filter, range);
			isRead = isAll;
			const last = lines.at(-1);
			if (last === undefined) {
				continue;
			}
			const found = await search.find(lines.map(({ text }) => text));
			const room = limit === 0 ? lines.length : limit - position[1];
			const entries = lines.filter((_, i) => found[i]).slice(0, room);
			position = [Number(last.id), position[1] + entries.length, end];
			if (entries.length > 0) {
				yield { entries, resumeToken: writeResumeToken(name, position) };
			}
			if (signal.aborted || (limit > 0 && position[1] >= limit)) {
				return;
			}
		}
		if (isLast) {
			return;
		}
		await following.untilMore();
		if (signal.aborted) {
			return;
		}
	}
}

function checkedLine(field: string, entry: NewLogEntry): NewLogLine {
	assertNotNegative(`${field}.trial_run_id`, entry.trialRunId);
	if (entry.rank !== undefined) {
		assertNotNegative(`${field}.rank`, entry.rank);
	}
	assertLevel(`${field}.level`, entry.level);
	assertStream(`${field}.stream`, entry.stream);
	assertShort(`${field}.source`, entry.source, 256);
	assertShort(`${field}.host`, entry.host, 256);
	return {
		trialRunId: entry.trialRunId,
		rank: entry.rank ?? -1,
		level: entry.level,
		stream: entry.stream,
		source: withoutNul(entry.source),
		host: withoutNul(entry.host),
		time: entry.time && checkedTime(`${field}.time`, entry.time),
		text: cutLine(withoutNul(entry.text)),
	};
}

function checkedFilter(request: StreamTrialLogsRequest): LogFilter {
	const { trialId, trialRunId, limit, follow, orderBy, ranks, minLevel, streams, afterId, timeBefore, timeAfter } =
		request;
	assertId("trial_id", trialId);
	assertNotNegative("trial_run_id", trialRunId);
	assertNotNegative("limit", limit);
	checkedCount("after_id", afterId);
	if (OrderBy[orderBy] === undefined) {
		throw new MillraceError("invalid_argument", `order_by is ${orderBy}, which is no order; give ASC or DESC`);
	}
	if (follow && orderBy === OrderBy.DESC) {
		throw new MillraceError(
			"invalid_argument",
			"order_by is DESC, but follow goes on with what comes; follow in ascending order",
		);
	}
	ranks.forEach((rank, i) => void assertNotNegative(`ranks[${i}]`, rank));
	assertLevel("min_level", minLevel);
	streams.forEach((stream, i) => void assertStream(`streams[${i}]`, stream));
	return {
		...{ trialId, trialRunId, ranks, minLevel, streams },
		sources: request.sources.map(withoutNul),
		hosts: request.hosts.map(withoutNul),
		timeBefore: timeBefore && nextMs("time_before", timeBefore),
		timeAfter: timeAfter && checkedTime("time_after", timeAfter),
	};
}

/** What is stored in milliseconds is before a time if it is before the next whole one. */
function nextMs(field: string, time: Timestamp): number {
	return checkedTime(field, time) + (time.nanos % 1_000_000 === 0 ? 0 : 1);
}

function assertLevel(field: string, level: LogLevel): void {
	if (LogLevel[level] === undefined) {
		throw new MillraceError(
			"invalid_argument",
			`${field} is ${level}, which is no level; give one from TRACE to CRITICAL`,
		);
	}
}

function assertStream(field: string, stream: LogStream): void {
	if (LogStream[stream] === undefined) {
		throw new MillraceError("invalid_argument", `${field} is ${stream}, which is no stream; give STDOUT or STDERR`);
	}
}

function assertShort(field: string, text: string, most: number): void {
	if (text.length > most) {
		throw new MillraceError("invalid_argument", `${field} has ${text.length} characters; at most ${most} are allowed`);
	}
}

/** Text ends at a NUL for some of SQLite's functions. */
function withoutNul(text: string): string {
	return text.replaceAll("\0", "\ufffd");
}
