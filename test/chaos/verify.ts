import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { messageOf } from "../../src/errors.js";
import { Database } from "../../src/server/db/database.js";
import { toStorage } from "../../src/server/db/json-column.js";
import { listOutputs } from "../../src/server/db/output-files.js";
import { getTrialRow } from "../../src/server/db/trials.js";
import { fromStoredFile } from "../../src/storage/manifest.js";
import { openStorage } from "../../src/storage/open-storage.js";
import type { RoundPlan } from "./round-plan.js";

interface Report {
	readonly trial_run_id: number;
	readonly rank: number;
	readonly part: number;
	readonly commit_number: number;
	readonly origin: number;
	readonly group_name: string;
	readonly metrics: string;
}

/**
 * Compares what a trial left behind with what an undisturbed run leaves, and returns the differences. Its server
 * must have ended: the database and the storage are read as they lie there.
 */
export async function verifyTrial(plan: RoundPlan, dataDirectory: string, trialId: number): Promise<string[]> {
	const db = await Database.open(dataDirectory);
	try {
		return [
			...(await databaseProblems(db)),
			...(await progressProblems(db, plan, trialId)),
			...(await outputProblems(db, plan, trialId)),
			...(await metricProblems(db, plan, trialId)),
		];
	} finally {
		await db.close();
	}
}

/** What the good records of a plan become, by their index, in its order. */
function expectedValues({ data, badRecords }: RoundPlan): Map<number, number> {
	const indices = Array.from({ length: data.records }, (_, index) => index);
	return new Map(
		indices
			.filter((index) => !badRecords.includes(index))
			.map((index) => [index, 2 * ((index * data.factor + data.offset) % data.modulus)]),
	);
}

async function databaseProblems(db: Database): Promise<string[]> {
	const rows = await db.all<{ integrity_check: string }>("PRAGMA integrity_check");
	const broken = rows.map((row) => row.integrity_check).filter((text) => text !== "ok");
	const strays = await db.all<{ table: string }>("PRAGMA foreign_key_check");
	return [...broken, ...strays.map(({ table }) => `a row of ${table} refers to nothing`)];
}

async function progressProblems(db: Database, plan: RoundPlan, trialId: number): Promise<string[]> {
	const problems: string[] = [];
	const { records } = plan.data;
	const trial = await getTrialRow(db, trialId);
	const good = records - plan.badRecords.length;
	if (trial.state !== "COMPLETED" || trial.records_done !== good) {
		problems.push(`the trial is ${trial.state} with ${trial.records_done} records done, not ${good}`);
	}
	const failed = await db.all<{ record: number }>("SELECT record FROM trial_errors WHERE trial_id = ?", trialId);
	const bad = failed.map(({ record }) => record).sort((a, b) => a - b);
	if (!isDeepStrictEqual(bad, plan.badRecords)) {
		problems.push(`the records [${bad}] failed, not [${plan.badRecords}]`);
	}
	const ranges = await db.all<{ first_record: number; end_record: number }>(
		"SELECT first_record, end_record FROM done_ranges WHERE trial_id = ?",
		trialId,
	);
	const done = ranges.flatMap(({ first_record: first, end_record: end }) =>
		Array.from({ length: end - first }, (_, i) => first + i),
	);
	problems.push(...recordProblems("the done ranges", plan, done));
	const open = await db.all("SELECT 1 FROM trial_runs WHERE trial_id = ? AND end_time IS NULL", trialId);
	return open.length > 0 ? [...problems, "a run of the trial is open"] : problems;
}

async function outputProblems(db: Database, plan: RoundPlan, trialId: number): Promise<string[]> {
	const trial = await getTrialRow(db, trialId);
	const outputs = await listOutputs(db, trialId, "", 100_000);
	const files = outputs.flatMap(({ file }) => (file === undefined ? [] : [fromStoredFile(file)]));
	const storage = openStorage(toStorage(trial.storage));
	const copies = mkdtempSync(join(tmpdir(), "millrace-chaos-outputs-"));
	try {
		const lines = (await storage.download(trial.output_uuid, files, copies))
			.filter((path) => path.endsWith(".txt"))
			.flatMap((path) => readFileSync(path, "utf8").split("\n").slice(0, -1));
		const values = new Map(lines.map((line) => [Number(line.split(" ")[0]), Number(line.split(" ")[1])]));
		const problems = recordProblems(
			"the outputs",
			plan,
			lines.map((line) => Number(line.split(" ")[0])),
		);
		for (const [index, expected] of expectedValues(plan)) {
			if (values.has(index) && values.get(index) !== expected) {
				problems.push(`the outputs have ${values.get(index)} for record ${index}, not ${expected}`);
			}
		}
		const named = new Set(files.map((file) => file.path));
		const strays = (await storage.list(trial.output_uuid)).filter(({ path }) => !named.has(path));
		return [...problems, ...strays.map(({ path }) => `no manifest names the file ${path}`)];
	} catch (error) {
		return [`the outputs cannot be read: ${messageOf(error)}`];
	} finally {
		rmSync(copies, { recursive: true });
	}
}

async function metricProblems(db: Database, plan: RoundPlan, trialId: number): Promise<string[]> {
	const reports = await db.all<Report>(
		"SELECT * FROM metric_reports WHERE trial_id = ? AND archived = 0 ORDER BY id",
		trialId,
	);
	const parsed = reports.map((report) => ({ ...report, metrics: JSON.parse(report.metrics) }));
	const inGroup = (group: string) => parsed.filter((report) => report.group_name === group);
	const values = expectedValues(plan);
	const problems = recordProblems(
		"the reports",
		plan,
		inGroup("inference").flatMap(({ metrics }) => metrics.indices),
	);
	for (const { metrics } of inGroup("inference")) {
		const sum = metrics.indices.reduce((total: number, index: number) => total + (values.get(index) ?? 0), 0);
		if (metrics.sum !== sum) {
			problems.push(`the sum of the records ${metrics.indices} is ${metrics.sum}, not ${sum}`);
		}
	}
	const inOrder = [...values.values()];
	const sum = inOrder.reduce((a, b) => a + b, 0);
	const digest = inOrder.reduce((hash, value) => (hash * 31 + value) % 1_000_003, inOrder.length);
	const results = [
		["validation", { sum }],
		["digests", { digest }],
	] as const;
	for (const [group, expected] of results) {
		const found = inGroup(group).map(({ metrics }) => metrics);
		if (!isDeepStrictEqual(found, [expected])) {
			problems.push(`group ${group} is ${JSON.stringify(found)}, not [${JSON.stringify(expected)}]`);
		}
	}
	return [...problems, ...finishProblems(inGroup("finish"), { sum, digest }), ...(await strayReports(db, trialId))];
}

/** Each worker of the last run has reported once what onFinish got. */
function finishProblems(reports: readonly (Omit<Report, "metrics"> & { metrics: FinishMetrics })[], expected: object) {
	const size = reports[0]?.metrics.size ?? 0;
	const ranks = reports.map(({ metrics }) => metrics.rank).sort((a, b) => a - b);
	const problems =
		isDeepStrictEqual(
			ranks,
			Array.from({ length: size }, (_, rank) => rank),
		) && size > 0
			? []
			: [`onFinish was reported by the ranks [${ranks}] of ${size}`];
	if (new Set(reports.map((report) => report.trial_run_id)).size > 1) {
		problems.push("onFinish of more than one run was reported");
	}
	const wrong = reports.filter(({ metrics }) => !isDeepStrictEqual(metrics.results, expected));
	return [...problems, ...wrong.map(({ metrics }) => `onFinish got ${JSON.stringify(metrics.results)}`)];
}

interface FinishMetrics {
	readonly rank: number;
	readonly size: number;
	readonly results: object;
}

async function strayReports(db: Database, trialId: number): Promise<string[]> {
	const strays = await db.all<Report>(
		`SELECT * FROM metric_reports AS report WHERE trial_id = ? AND archived = 0 AND (origin = 0 OR origin = 1 AND NOT EXISTS (
			SELECT 1 FROM commits WHERE commits.trial_id = report.trial_id AND commits.trial_run_id = report.trial_run_id
				AND commits.rank = report.rank AND commits.part = report.part AND commits.commit_number = report.commit_number
		))`,
		trialId,
	);
	return strays.map(
		({ trial_run_id, rank, commit_number, metrics }) =>
			`no commit confirms the report of run ${trial_run_id}, rank ${rank}, commit ${commit_number}: ${metrics}`,
	);
}

/** Each good record has to be there exactly once, and no other. */
function recordProblems(where: string, plan: RoundPlan, indices: readonly number[]): string[] {
	const good = expectedValues(plan);
	const counts = new Map<number, number>();
	for (const index of indices) {
		counts.set(index, (counts.get(index) ?? 0) + 1);
	}
	const missing = [...good.keys()].filter((index) => !counts.has(index));
	const doubled = [...counts].filter(([, count]) => count > 1).map(([index, count]) => `${index} (${count} times)`);
	const strange = [...counts.keys()].filter((index) => !good.has(index));
	return [
		...(missing.length > 0 ? [`${where} lack ${missing.length} records: ${shortened(missing)}`] : []),
		...(doubled.length > 0 ? [`${where} have ${doubled.length} records more than once: ${shortened(doubled)}`] : []),
		...(strange.length > 0 ? [`${where} have records that failed or never were: ${shortened(strange)}`] : []),
	];
}

function shortened(list: readonly unknown[]): string {
	return `${list.slice(0, 10).join(", ")}${list.length > 10 ? ", …" : ""}`;
}
