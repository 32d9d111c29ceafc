import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { MillraceError } from "../../src/errors.js";
import {
	type ReportMetricsRequestSchema,
	ReportMetricsResponseSchema,
} from "../../src/gen/millrace/v1/metric_service_pb.js";
import { MetricReporter } from "../../src/sdk/metric-reporter.js";

type Request = MessageInitShape<typeof ReportMetricsRequestSchema>;

/** A server whose calls stay open until they are answered. */
function heldServer() {
	const calls: Array<{ request: Request; answer: (error?: Error) => void }> = [];
	const reportMetrics = (request: Request) =>
		new Promise<ReturnType<typeof response>>((resolve, reject) => {
			calls.push({ request, answer: (error) => (error ? reject(error) : resolve(response(request))) });
		});
	return { calls, reporter: new MetricReporter({ reportMetrics }) };
}

const response = (request: Request) =>
	create(ReportMetricsResponseSchema, {
		statuses: (request.reports ?? []).map(({ group }) => (group === "a.b" ? { code: 3, message: "a dot" } : {})),
	});

const report = (group: string, metricsJson = "{}") => ({ trialId: 1, trialRunId: 1, group, metricsJson });
const turn = () => new Promise((resolve) => setImmediate(resolve));
const groups = (request: Request | undefined) => request?.reports?.map((report) => report.group);

describe("MetricReporter", { timeout: 10_000 }, () => {
	it("sends at once, and gathers while a call is in flight", async () => {
		const { calls, reporter } = heldServer();
		const first = reporter.report(report("a"));
		await turn();
		const others = ["b", "c", "d"].map((group) => reporter.report(report(group)));
		await turn();
		assert.deepEqual(
			calls.map(({ request }) => groups(request)),
			[["a"]],
		);
		calls[0]?.answer();
		await first;
		await turn();
		assert.deepEqual(groups(calls[1]?.request), ["b", "c", "d"]);
		assert.equal(calls[1]?.request.clientId, calls[0]?.request.clientId);
		assert.deepEqual(
			calls.map(({ request }) => request.sequence),
			[1n, 2n],
		);
		calls[1]?.answer();
		await Promise.all(others);
	});

	it("rejects a bad report with its own status, and no other", async () => {
		const { calls, reporter } = heldServer();
		const settled = Promise.allSettled(["a", "a.b", "c"].map((group) => reporter.report(report(group))));
		await turn();
		calls[0]?.answer();
		const [good, bad, alsoGood] = await settled;
		assert.equal(good?.status, "fulfilled");
		assert.equal(alsoGood?.status, "fulfilled");
		assert.ok(bad?.status === "rejected");
		assert.deepEqual([bad.reason.code, bad.reason.message], ["invalid_argument", "a dot"]);
	});

	it("rejects the reports of a failed call, and counts anew after it", async () => {
		const { calls, reporter } = heldServer();
		const lost = reporter.report(report("a"));
		await turn();
		calls[0]?.answer(new MillraceError("unavailable", "gone"));
		await assert.rejects(lost, { code: "unavailable" });
		const next = reporter.report(report("b"));
		await turn();
		calls[1]?.answer();
		await next;
		assert.equal(calls[1]?.request.sequence, 1n);
		assert.notEqual(calls[1]?.request.clientId, calls[0]?.request.clientId);
	});

	it("flushes when every report has its answer, and never fails for a bad one", async () => {
		const { calls, reporter } = heldServer();
		await reporter.flush();
		const settled = Promise.allSettled([reporter.report(report("a")), reporter.report(report("a.b"))]);
		let isFlushed = false;
		const flushed = reporter.flush().then(() => {
			isFlushed = true;
		});
		await turn();
		assert.equal(isFlushed, false);
		calls[0]?.answer();
		await flushed;
		await settled;
	});

	it("keeps a call below the limits of the wire", async () => {
		const { calls, reporter } = heldServer();
		const small = Array.from({ length: 12_000 }, () => reporter.report(report("a")));
		const large = Array.from({ length: 3 }, () => reporter.report(report("b", `{"x":"${"y".repeat(3_000_000)}"}`)));
		const sizes: number[] = [];
		for (let index = 0; sizes.reduce((sum, size) => sum + size, 0) < 12_003; index++) {
			await turn();
			sizes.push(calls[index]?.request.reports?.length ?? 0);
			calls[index]?.answer();
		}
		await Promise.all([...small, ...large]);
		assert.deepEqual(sizes, [5_000, 5_000, 2_001, 1, 1]);
	});
});
