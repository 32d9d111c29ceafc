import { type Command, InvalidArgumentError, Option } from "commander";
import { MillraceError } from "../errors.js";
import type { TrialMetrics } from "../sdk/index.js";
import { drawChart } from "./chart.js";
import { collect } from "./collect.js";
import { onOneLine } from "./display-width.js";
import { addJsonFlag, type JsonFlag } from "./json-flag.js";
import { type MetricChart, MetricSeriesCollector, metricOf } from "./metric-series.js";
import { printList } from "./print-list.js";
import { metricValue, pairs } from "./shown-value.js";
import type { Column } from "./table.js";
import type { Terminal } from "./terminal.js";

/** Which reports are shown, and how. */
export interface MetricsFlags extends JsonFlag {
	group?: string;
	name?: readonly string[];
	rank?: readonly number[];
	chart?: boolean;
	follow?: boolean;
}

/** Whose reports are shown. */
export interface MetricsSubject {
	/** As in "trial 5". */
	readonly name: string;
	/** Whether they are all of one trial. */
	readonly isTrial: boolean;
}

/** Adds the flags of a list of reports, which can be drawn, and followed where what they are about can end. */
export function addMetricsFlags(command: Command, { canFollow }: { readonly canFollow: boolean }): Command {
	if (canFollow) {
		command.option("-f, --follow", "go on with what is reported later, until all of it has ended");
	}
	command
		.option("--group <group>", 'only this metric group, such as "inference"')
		.option("--name <metric>", "only this metric, in a column of its own; may be given several times", collect)
		.option("--rank <rank>", "only what the worker with this rank reported; may be given several times", rank)
		.addOption(new Option("--chart", "draw the metrics by steps").conflicts(["json", "follow"]));
	return addJsonFlag(command, "a line each");
}

/**
 * Prints reports as they come: as a table, as lines of JSON, or as a chart of each metric.
 *
 * Throws `not_found` if there are reports, and none has a metric that the flags name.
 */
export async function printMetrics(
	terminal: Terminal,
	flags: MetricsFlags,
	subject: MetricsSubject,
	reports: AsyncIterable<TrialMetrics> | Iterable<TrialMetrics>,
): Promise<void> {
	const seen: SeenReports = { chosen: 0, names: new Set() };
	const rows = chosenReports(reports, flags, seen);
	if (flags.chart) {
		const charts = await printCharts(terminal, flags, subject, rows);
		if (charts === 0 && seen.chosen > 0) {
			terminal.say("no metric is a number");
		}
	} else {
		const options = { columns: columnsOf(flags, subject, terminal), isLive: flags.follow ?? false };
		await printList(terminal, flags, rows, options);
	}
	if (seen.chosen === 0 && flags.name !== undefined && seen.names.size > 0) {
		throw new MillraceError(
			"not_found",
			`no report of ${subject.name} has a metric ${flags.name.map((name) => JSON.stringify(name)).join(" or ")}; ` +
				`they have ${[...seen.names].map((name) => JSON.stringify(name)).join(", ")}`,
		);
	}
	if (seen.chosen === 0) {
		terminal.say("no metrics");
	}
}

/** What was seen of the reports on the way. */
interface SeenReports {
	/** How many have a metric that is shown. */
	chosen: number;
	/** Names of the metrics that there are, for an error that none of them was chosen. */
	readonly names: Set<string>;
}

async function* chosenReports(
	reports: AsyncIterable<TrialMetrics> | Iterable<TrialMetrics>,
	flags: MetricsFlags,
	seen: SeenReports,
): AsyncGenerator<TrialMetrics> {
	for await (const report of reports) {
		if (flags.rank !== undefined && !flags.rank.includes(report.rank ?? -1)) {
			continue;
		}
		if (seen.names.size < mostNames) {
			for (const name of Object.keys(report.metrics)) {
				seen.names.add(name);
			}
		}
		if (flags.name === undefined || flags.name.some((name) => metricOf(report.metrics, name) !== undefined)) {
			seen.chosen += 1;
			yield report;
		}
	}
}

/** How many names of metrics an error tells, about. */
const mostNames = 20;

function columnsOf(
	{ name: names }: MetricsFlags,
	{ isTrial }: MetricsSubject,
	terminal: Terminal,
): readonly Column<TrialMetrics>[] {
	const columns: Column<TrialMetrics>[] = [
		{ title: "TRIAL", text: ({ trialId }) => String(trialId), align: "right" },
		{ title: "RUN", text: ({ trialRunId }) => String(trialRunId), align: "right" },
		{ title: "RANK", text: ({ rank }) => String(rank ?? ""), align: "right" },
		{ title: "STEPS", text: ({ stepsCompleted }) => String(stepsCompleted ?? ""), align: "right" },
		{ title: "GROUP", text: ({ group }) => group, isCuttable: true },
	];
	const valueColumns: Column<TrialMetrics>[] = names?.map((name) => ({
		title: name,
		text: ({ metrics }) => metricValue(metricOf(metrics, name), terminal),
		align: "right",
		isCuttable: true,
	})) ?? [{ title: "METRICS", text: ({ metrics }) => pairs(metrics, terminal), isCuttable: true }];
	return [...columns.slice(isTrial ? 1 : 0), ...valueColumns];
}

async function printCharts(
	terminal: Terminal,
	flags: MetricsFlags,
	subject: MetricsSubject,
	reports: AsyncIterable<TrialMetrics> | Iterable<TrialMetrics>,
): Promise<number> {
	const collector = new MetricSeriesCollector(flags.name);
	for await (const report of reports) {
		collector.add(report);
	}
	const { charts } = collector;
	for (const [i, chart] of charts.entries()) {
		await terminal.print(`${i === 0 ? "" : "\n"}${chartText(terminal, chart, subject)}`);
	}
	return charts.length;
}

function chartText(terminal: Terminal, chart: MetricChart, { name, isTrial }: MetricsSubject): string {
	const { columns, isUnicode, hasColours } = terminal;
	const title = onOneLine(`${chart.group} ${chart.name} of ${name}`);
	const series = chart.series.map(({ trialId, rank, points }) => ({
		name: [...(isTrial ? [] : [`trial ${trialId}`]), ...(rank === null ? [] : [`rank ${rank}`])].join(", ") || name,
		points,
	}));
	const style = terminal.style.bind(terminal);
	const drawing =
		series.length === 0
			? `${style("bold", title)}\n`
			: drawChart(series, { title, xTitle: "steps", columns, isUnicode, hasColours, style });
	const { isFolded, trialsLeftOut, nonFinite } = chart;
	const trials = trialsLeftOut === 1 ? "1 more trial is" : `${trialsLeftOut} more trials are`;
	const values = nonFinite === 1 ? "1 value is" : `${nonFinite} values are`;
	const notes = [
		...(isFolded ? ["the ranks of each trial are drawn together, as there are many; --rank chooses some"] : []),
		...(trialsLeftOut > 0 ? [`${trials} not drawn; millrace trial metrics draws each`] : []),
		...(nonFinite > 0 ? [`${values} NaN or infinite, and not drawn`] : []),
	];
	return drawing + notes.map((note) => `  ${note}\n`).join("");
}

function rank(text: string, earlier: readonly number[] = []): readonly number[] {
	if (!/^\d{1,9}$/.test(text)) {
		throw new InvalidArgumentError("Give the rank of a worker, from 0.");
	}
	return [...earlier, Number(text)];
}
