// The well-behaved clients of the bench of abuse: each has a connection of its own, on which it reports metrics and
// reads its trial, one call after another. Arguments: ADDRESS COUNT. For each message from its parent it sends back how
// many calls were answered so far.
import { randomUUID } from "node:crypto";
import { ExperimentService } from "../src/gen/millrace/v1/experiment_service_pb.js";
import { MetricService } from "../src/gen/millrace/v1/metric_service_pb.js";
import { TrialService } from "../src/gen/millrace/v1/trial_service_pb.js";
import { Channel } from "../src/rpc/channel.js";
import { createRpcClient } from "../src/rpc/client.js";

const [address = "", count = "1"] = process.argv.slice(2);
let answered = 0;

async function work(): Promise<never> {
	const channel = new Channel(address);
	const experiments = createRpcClient(ExperimentService, channel);
	const trials = createRpcClient(TrialService, channel);
	const metrics = createRpcClient(MetricService, channel);
	const { experiment } = await experiments.createExperiment({ requestId: randomUUID(), config: { name: "worker" } });
	const { trial } = await trials.createTrial({ requestId: randomUUID(), experimentId: experiment?.id ?? 0 });
	const trialId = trial?.id ?? 0;
	const { trialRun } = await trials.startTrialRun({ requestId: randomUUID(), trialId });
	const report = { trialId, trialRunId: trialRun?.trialRunId ?? 0, group: "inference", metricsJson: '{"loss":0.5}' };
	const clientId = randomUUID();
	for (let sequence = 1; ; sequence++) {
		const reports = [{ ...report, stepsCompleted: sequence }];
		const { statuses } = await metrics.reportMetrics({ clientId, sequence: BigInt(sequence), reports });
		if (statuses[0]?.code !== 0) {
			throw new Error(`a report was refused: ${statuses[0]?.message}`);
		}
		answered++;
		await trials.getTrial({ trialId });
		answered++;
	}
}

process.on("message", () => process.send?.(answered));
process.once("disconnect", () => process.exit());
// The bench goes with its clients.
await Promise.all(Array.from({ length: Number(count) }, work));
