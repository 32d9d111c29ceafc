import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { MetricReportSchema } from "../../gen/millrace/v1/metric_pb.js";
import type { Database } from "./database.js";

/** The most rows of one message, and about the most bytes of JSON text in it. */
const pageSize = 500;
const pageBytes = 4 * 1024 * 1024;

type PageRow = [
	id: number,
	trialRunId: number,
	step: number,
	group: string,
	metrics: string,
	batchMetrics: string,
	rank: number,
	endTime: number,
];

/** A place between two reports of a reading: that of the last report that was read, and where the reading ends. */
export type MetricPosition = readonly [lastId: number, trialId: number, trialRunId: number, step: number, id: number];

/** The next reports of a reading, and the place after them. */
export interface MetricPage {
	readonly reports: MessageInitShape<typeof MetricReportSchema>[];
	readonly position: MetricPosition;
}

/**
 * Reads the reports of trials in pages, ordered by trial, run and steps completed; archived ones are left
 * out. What is reported after the start is not part of it. No transaction is held between two pages: a
 * reader kept open would keep the write-ahead log from shrinking. With `from` an earlier reading goes on.
 */
export async function* metricPages(
	db: Database,
	trialIds: readonly number[],
	group: string,
	from?: MetricPosition,
): AsyncGenerator<MetricPage> {
	const lastId = from?.[0] ?? (await newestReport(db));
	const [, fromTrial, ...fromReport] = from ?? [0, 0, ...beforeAll];
	for (const trialId of [...new Set(trialIds)].sort((a, b) => a - b)) {
		if (trialId < fromTrial) {
			continue;
		}
		let after: readonly [trialRunId: number, step: number, id: number] = trialId === fromTrial ? fromReport : beforeAll;
		for (;;) {
			const row = await db.get<{ page: string }>(
				`SELECT json_group_array(json_array(id, trial_run_id, step, group_name, metrics, batch_metrics, rank, end_time)) AS page
				FROM (
					SELECT * FROM metric_reports
					WHERE trial_id = ?1 AND archived = 0 AND (trial_run_id, step, id) > (?2, ?3, ?4) AND id <= ?5
					AND (?6 = '' OR group_name = ?6)
					ORDER BY trial_run_id, step, id LIMIT ${pageSize}
				)`,
				trialId,
				...after,
				lastId,
				group,
			);
			const page = JSON.parse(row?.page ?? "[]") as PageRow[];
			const end = page.at(-1);
			if (end === undefined) {
				break;
			}
			for (const rows of bySize(page)) {
				const [id, trialRunId, step] = rows.at(-1) as PageRow;
				const reports = rows.map((values) => toReport(trialId, values));
				yield { reports, position: [lastId, trialId, trialRunId, step, id] };
			}
			if (page.length < pageSize) {
				break;
			}
			after = [end[1], end[2], end[0]];
		}
	}
}

/** The place before the first report of a trial. */
const beforeAll = [0, -2, 0] as const;

async function newestReport(db: Database): Promise<number> {
	const row = await db.get<{ id: number | null }>("SELECT max(id) AS id FROM metric_reports");
	return row?.id ?? 0;
}

/** Cuts a page of large reports, so that none of its messages is too large. */
function bySize(page: readonly PageRow[]): PageRow[][] {
	const cuts: PageRow[][] = [];
	let bytes = Number.POSITIVE_INFINITY;
	for (const row of page) {
		if (bytes > pageBytes) {
			cuts.push([]);
			bytes = 0;
		}
		cuts.at(-1)?.push(row);
		bytes += row[4].length + row[5].length;
	}
	return cuts;
}

function toReport(
	trialId: number,
	[id, trialRunId, step, group, metrics, batchMetrics, rank, endTime]: PageRow,
): MessageInitShape<typeof MetricReportSchema> {
	return {
		id: BigInt(id),
		trialId,
		trialRunId,
		group,
		metricsJson: metrics,
		batchMetricsJson: batchMetrics,
		endTime: timestampFromMs(endTime),
		...(step >= 0 && { stepsCompleted: step }),
		...(rank >= 0 && { rank }),
	};
}
