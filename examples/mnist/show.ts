import { client, type TrialMetrics } from "millrace";

// Everything printed here is read back from the server, first by model version, then by checkpoint.
const version = await client.getModel("mnist-cnn").getVersion();
if (version === null) {
	throw new Error("mnist-cnn has no version yet: run register.ts first");
}
const { modelVersion, checkpoint } = version;

console.log(`\nclient.getModel("mnist-cnn").getVersion(${modelVersion}).getMetrics("inference")`);
print(await client.getModel("mnist-cnn").getVersion(modelVersion).getMetrics("inference"));
console.log(`\nclient.getCheckpoint("${checkpoint.uuid}").getMetrics("inference")`);
print(await client.getCheckpoint(checkpoint.uuid).getMetrics("inference"));

function print(reports: TrialMetrics[]): void {
	for (const trialId of new Set(reports.map((report) => report.trialId))) {
		const ofTrial = reports.filter((report) => report.trialId === trialId);
		const reduced = ofTrial.find(({ metrics }) => "held_out_accuracy" in metrics)?.metrics;
		if (reduced === undefined) {
			console.log(`  trial ${trialId}: not finished, ${ofTrial.length} reports so far`);
			continue;
		}
		const { accuracy, records, held_out_accuracy, held_out_records } = reduced;
		console.log(`  trial ${trialId}: ${records} records, accuracy ${accuracy}`);
		console.log(`    held out: ${held_out_records} records, accuracy ${held_out_accuracy}`);
		const batches = ofTrial.filter(({ metrics }) => "batch_accuracy" in metrics);
		const workers = new Set(batches.map(({ rank }) => rank)).size;
		console.log(`    ${batches.length} reports of batches from ${workers} workers, ${ofTrial.length} reports in all`);
	}
}
