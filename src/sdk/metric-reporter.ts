import { randomUUID } from "node:crypto";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { MillraceError } from "../errors.js";
import type { NewMetricReportSchema } from "../gen/millrace/v1/metric_pb.js";
import type { MetricService } from "../gen/millrace/v1/metric_service_pb.js";
import type { RpcClient } from "../rpc/client.js";
import { errorCodeOf } from "../rpc/status.js";

/** A report on its way to the server. */
export type NewMetricReport = MessageInitShape<typeof NewMetricReportSchema>;

interface Queued {
	readonly report: NewMetricReport;
	readonly resolve: () => void;
	readonly reject: (error: MillraceError) => void;
}

// Well under the wire's limits of 10,000 reports and 32 MiB.
const maxReports = 5_000;
const maxCharacters = 4 * 1024 * 1024;

/**
 * Sends metric reports. While a call is in flight, reports gather and go with the next one: a call for each
 * under light load, large batches under heavy load, and no report waits for a timer.
 */
export class MetricReporter {
	readonly #metrics: Pick<RpcClient<typeof MetricService>, "reportMetrics">;
	#queue: Queued[] = [];
	#sending: Promise<void> | undefined;
	#clientId = randomUUID();
	#sequence = 0n;

	constructor(metrics: Pick<RpcClient<typeof MetricService>, "reportMetrics">) {
		this.#metrics = metrics;
	}

	/**
	 * Sends a report. The promise resolves when the server has stored it.
	 *
	 * Rejects with what became of this report: `not_found` (no such trial), `failed_precondition` (its run is
	 * not open), `already_exists` (another value was reported), `invalid_argument` (group or metrics are
	 * malformed), `unavailable` (the server did not answer).
	 */
	report(report: NewMetricReport): Promise<void> {
		return new Promise((resolve, reject) => {
			this.#queue.push({ report, resolve, reject });
			this.#sending ??= this.#sendAll();
		});
	}

	/** Resolves when every report so far has its answer, good or bad; each promise of `report` tells which. */
	async flush(): Promise<void> {
		while (this.#sending !== undefined) {
			await this.#sending;
		}
	}

	async #sendAll(): Promise<void> {
		// What is reported in one go goes in one call.
		await Promise.resolve();
		while (this.#queue.length > 0) {
			await this.#send(this.#take());
		}
		this.#sending = undefined;
	}

	#take(): Queued[] {
		let characters = 0;
		const count = this.#queue.findIndex(({ report }, index) => {
			characters += (report.metricsJson?.length ?? 0) + (report.batchMetricsJson?.length ?? 0);
			return index > 0 && (index === maxReports || characters > maxCharacters);
		});
		const batch = count === -1 ? this.#queue : this.#queue.slice(0, count);
		this.#queue = count === -1 ? [] : this.#queue.slice(count);
		return batch;
	}

	async #send(batch: readonly Queued[]): Promise<void> {
		this.#sequence++;
		try {
			const { statuses } = await this.#metrics.reportMetrics({
				clientId: this.#clientId,
				sequence: this.#sequence,
				reports: batch.map(({ report }) => report),
			});
			for (const [index, queued] of batch.entries()) {
				const status = statuses[index];
				if (status?.code === 0) {
					queued.resolve();
				} else {
					queued.reject(
						new MillraceError(errorCodeOf(status?.code ?? -1), status?.message || "the server gave no status for it"),
					);
				}
			}
		} catch (error) {
			// Whether the server counted the call is unknown, so that the next one counts anew.
			this.#clientId = randomUUID();
			this.#sequence = 0n;
			for (const queued of batch) {
				queued.reject(error as MillraceError);
			}
		}
	}
}
