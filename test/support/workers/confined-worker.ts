// A worker on a server with accounts: uses what it may, and tries what it may not. Dies in its first run, in the middle.
// WORKER_OPTIONS is its JSON.
import { appendFileSync } from "node:fs";
import { join } from "node:path";
import { isMillraceError } from "../../../src/errors.js";
import { BatchProcessor, batchProcess } from "../../../src/runtime/index.js";
import { client } from "../../../src/sdk/index.js";
import { Sum } from "./sum.js";

const { otherTrial } = JSON.parse(process.env.WORKER_OPTIONS ?? "{}") as { readonly otherTrial: number };

function say(line: object): void {
	process.stdout.write(`${JSON.stringify(line)}\n`);
}

async function refusal(call: Promise<unknown>): Promise<string> {
	try {
		await call;
		return "none";
	} catch (error) {
		return isMillraceError(error) ? `${error.code}: ${error.message}` : String(error);
	}
}

class Confined extends BatchProcessor<number[]> {
	readonly #sum = new Sum();

	override async setup() {
		this.context.wrapReducer(this.#sum, { name: "sum" });
		await this.context.reportTaskUsingModelVersion(client.getModel("digits").getVersion(1));
		const { checkpoint } = await client.getModel("digits").getVersion(1);
		say({
			user: await client.getSessionUsername(),
			reads: (await client.getTrial(otherTrial)).id,
			toOther: await refusal(client.getTrial(otherTrial).reportTaskUsingCheckpoint(checkpoint)),
			asUser: await refusal(client.createModel("not by a worker")),
			asAdmin: await refusal(client.createUser("mallory", { password: "long enough" })),
		});
	}

	override async processBatch(batch: number[]) {
		for (const value of batch) {
			this.#sum.add(value);
		}
		this.context.reportMetrics("inference", { first: batch[0] ?? 0 });
		await this.context.uploadPath((directory) => appendFileSync(join(directory, "values.txt"), `${batch}\n`));
		if (this.context.info.trialRunId === 1 && batch.includes(7) && this.context.distributed.rank === 1) {
			process.kill(process.pid, "SIGKILL");
		}
	}
}

const data = { length: 20, get: (i: number) => i };
say({ outcome: await batchProcess(Confined, data, { batchSize: 2, checkpointInterval: 1 }) });
