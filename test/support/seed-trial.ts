import { randomUUID } from "node:crypto";
import type { Connection } from "../../src/sdk/connection.js";
import { Client, type Trial } from "../../src/sdk/index.js";
import { toMetricsJson } from "../../src/sdk/json.js";
import { MetricReporter } from "../../src/sdk/metric-reporter.js";

/** A trial with an open run without members, and a way to report for it. */
export interface SeededTrial {
	readonly trial: Trial;
	/** Reports metrics of a group, one report for each object, with the steps 1, 2, 3, … */
	report(group: string, metrics: readonly object[]): Promise<void>;
}

/** Makes an experiment with a trial whose run is open. */
export async function seedTrial(connection: Connection): Promise<SeededTrial> {
	const client = new Client({ connection });
	const experiment = await client.createExperiment({ name: "seeded", entrypoint: "true" });
	const trial = await client.createTrial(experiment.id, { hparams: { lr: 0.5 } });
	const { trialRun } = await connection.trials.startTrialRun({ requestId: randomUUID(), trialId: trial.id });
	const trialRunId = trialRun?.trialRunId ?? 0;
	const reporter = new MetricReporter(connection.metrics);
	return {
		trial,
		report: async (group, metrics) => {
			const reports = metrics.map((object, index) =>
				reporter.report({
					trialId: trial.id,
					trialRunId,
					group,
					stepsCompleted: index + 1,
					metricsJson: toMetricsJson(object),
				}),
			);
			await Promise.all(reports);
		},
	};
}
