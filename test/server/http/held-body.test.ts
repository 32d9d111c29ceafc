import assert from "node:assert/strict";
import { request } from "node:http";
import { after, describe, it } from "node:test";
import { MetricService } from "../../../src/gen/millrace/v1/metric_service_pb.js";
import { httpCall } from "../../support/http-call.js";
import { startHttpServices } from "../../support/start-http-services.js";
import { waitUntil } from "../../support/wait-until.js";

const mebibyte = 1024 * 1024;

async function startMetricServices() {
	const unused = () => assert.fail("not called");
	return startHttpServices((services) =>
		services.add(MetricService, {
			reportMetrics: async () => ({}),
			streamTrialMetrics: unused,
			streamCheckpointMetrics: unused,
			streamModelVersionMetrics: unused,
			summarizeMetrics: unused,
		}),
	);
}

/** Sends the head of a request with a body of so many bytes, and some of that; resolves to the answer. */
function sendSome(port: number, bytes: number): Promise<{ status: number; headers: object; text: string }> {
	return new Promise((resolve) => {
		const headers = { "content-type": "application/json", "content-length": bytes };
		const path = "/millrace.v1.MetricService/ReportMetrics";
		const sent = request({ host: "127.0.0.1", port, method: "POST", path, headers }, (response) => {
			let text = "";
			response.on("data", (piece) => {
				text += piece;
			});
			response.on("end", () => resolve({ status: response.statusCode ?? 0, headers: response.headers, text }));
		});
		sent.on("error", () => {});
		after(() => sent.destroy());
		sent.write(Buffer.alloc(100_000, " "));
	});
}

describe("a large body", { timeout: 60_000 }, () => {
	it("gives way to another when it comes too slowly, and the memory is given back", async () => {
		const services = await startMetricServices();
		const slow = [sendSome(services.port, 32 * mebibyte), sendSome(services.port, 32 * mebibyte)];
		await waitUntil("both have begun", () => services.memory.requests.bytes === 64 * mebibyte);
		const clientId = "y".repeat(20 * mebibyte);
		const { status } = await httpCall(services.address, MetricService.method.reportMetrics, { clientId });
		assert.equal(status, 200);
		const refused = await Promise.race(slow);
		assert.equal(refused.status, 429);
		assert.match(
			refused.text,
			/of the 33554432 bytes of the request \d+ came within .* while other large requests waited/,
		);
		assert.equal(Reflect.get(refused.headers, "retry-after"), "1");
		await waitUntil("its memory is given back", () => services.memory.requests.bytes <= 32 * mebibyte);
	});

	it("does not keep small ones from being read", async () => {
		const services = await startMetricServices();
		for (let count = 0; count < 10; count++) {
			void sendSome(services.port, 32 * mebibyte);
		}
		await waitUntil("the memory is lent", () => services.memory.requests.bytes === 64 * mebibyte);
		const { status } = await httpCall(services.address, MetricService.method.reportMetrics, { clientId: "small" });
		assert.equal(status, 200);
	});
});
