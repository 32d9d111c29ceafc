import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type LogEntrySchema, LogLevel } from "../../gen/millrace/v1/log_pb.js";
import type { Reader } from "./database.js";
import { pageBytes, pageRows } from "./page-bytes.js";

/** A line, on its way to a reader. */
export type LogLine = MessageInitShape<typeof LogEntrySchema> & { readonly id: bigint; readonly text: string };

/** Which lines of a trial are read, besides what their text contains. An empty list is no filter. */
export interface LogFilter {
	readonly trialId: number;
	/** 0 for all. */
	readonly trialRunId: number;
	readonly ranks: readonly number[];
	readonly minLevel: number;
	readonly streams: readonly number[];
	readonly sources: readonly string[];
	readonly hosts: readonly string[];
	/** In milliseconds since 1970. */
	readonly timeBefore: number | undefined;
	readonly timeAfter: number | undefined;
}

type LogRow = [
	id: number,
	trialRunId: number,
	rank: number,
	level: number,
	stream: number,
	source: string,
	host: string,
	time: number,
	text: string,
];

const filtered = `WHERE trial_id = ?1 AND id > ?2 AND id < ?3
	AND (?4 = 0 OR trial_run_id = ?4)
	AND (?5 = '[]' OR rank IN (SELECT value FROM json_each(?5)))
	AND iif(level = ${LogLevel.UNSPECIFIED}, ${LogLevel.INFO}, level) >= ?6
	AND (?7 = '[]' OR stream IN (SELECT value FROM json_each(?7)))
	AND (?8 = '[]' OR source IN (SELECT value FROM json_each(?8)))
	AND (?9 = '[]' OR host IN (SELECT value FROM json_each(?9)))
	AND (?10 IS NULL OR time < ?10) AND (?11 IS NULL OR time > ?11)`;

const inOrder = (direction: "ASC" | "DESC") => `WITH ahead AS MATERIALIZED (
		SELECT id, sum(bytes) OVER place AS total, row_number() OVER place AS place FROM (
			SELECT id, octet_length(text) AS bytes FROM trial_logs ${filtered} ORDER BY id ${direction} LIMIT ${pageRows}
		) WINDOW place AS (ORDER BY id ${direction})
	)
	SELECT json_group_array(json_array(id, trial_run_id, rank, level, stream, source, host, time, text)) AS page,
		(SELECT count(*) FROM ahead) AS ahead
	FROM (
		SELECT trial_logs.* FROM ahead JOIN trial_logs USING (id)
		WHERE total <= ${pageBytes} OR place = 1 ORDER BY place
	)`;

const ascending = inOrder("ASC");
const descending = inOrder("DESC");

/** Lines that follow each other, and whether they are all that there are. */
export interface LogPage {
	readonly lines: readonly LogLine[];
	readonly isLast: boolean;
}

/** Reads the first lines with an id between two others, in the order of their ids or against it. */
export async function logPage(
	db: Reader,
	filter: LogFilter,
	{ after, before, isDescending }: { after: number; before: number; isDescending: boolean },
): Promise<LogPage> {
	const row = await db.get<{ page: string; ahead: number }>(
		isDescending ? descending : ascending,
		filter.trialId,
		after,
		before,
		filter.trialRunId,
		JSON.stringify(filter.ranks),
		filter.minLevel,
		JSON.stringify(filter.streams),
		JSON.stringify(filter.sources),
		JSON.stringify(filter.hosts),
		filter.timeBefore ?? null,
		filter.timeAfter ?? null,
	);
	const { page, ahead } = row ?? { page: "[]", ahead: 0 };
	const rows = JSON.parse(page) as LogRow[];
	const lines = rows.map((values) => toLine(filter.trialId, values));
	return { lines, isLast: rows.length === ahead && ahead < pageRows };
}

function toLine(trialId: number, [id, trialRunId, rank, level, stream, source, host, time, text]: LogRow): LogLine {
	return {
		id: BigInt(id),
		...{ trialId, trialRunId, level, stream, source, host, text },
		time: timestampFromMs(time),
		...(rank >= 0 && { rank }),
	};
}
