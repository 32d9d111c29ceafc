import type { Migration } from "../migrate.js";

/** What a metric report is about. */
export const metricSources: Migration = {
	name: "metric-sources",
	statements: [],
};
