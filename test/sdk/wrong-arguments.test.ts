import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { describe, it } from "node:test";
import { MillraceError } from "../../src/errors.js";
import { AccountsClient } from "../../src/sdk/accounts-client.js";
import { Checkpoint, Client, Experiment, Model, ModelVersion, Trial, User } from "../../src/sdk/index.js";
import { documentedCodes } from "../support/documented-codes.js";
import { startTestServer } from "../support/start-test-server.js";
import { tempDir } from "../support/temp-dir.js";

type Method = (...parameters: unknown[]) => unknown;

const cycle: Record<string, unknown> = {};
cycle.self = cycle;

/** What users pass by mistake, and what they could pass if they wanted to break it. */
const wrongValues: readonly unknown[] = [
	undefined,
	null,
	0,
	-1,
	1.5,
	Number.NaN,
	1n,
	"",
	"x",
	"nul\0",
	"\ud800",
	"long".repeat(50_000),
	Symbol("s"),
	true,
	[],
	[null],
	{},
	() => {},
	new Date(),
	cycle,
	Object.create(null),
	{ unknownKey: 1 },
];

const codes = documentedCodes()
	.map(({ code }) => code)
	.filter((code) => code !== "internal" && code !== "unknown");

// What a wrong path brings about happens here.
const directory = tempDir();
process.chdir(directory);
mkdirSync("upload");
writeFileSync("upload/file", "content");

const server = await startTestServer();
const client = new Client({ server: server.address });

/** Makes an experiment with a trial. Both have ended, so that nobody waits for them. */
async function endedTrial(): Promise<Trial> {
	const experiment = await client.createExperiment({ name: "wrong", entrypoint: "true" });
	const trial = await client.createTrial(experiment.id);
	await trial.kill();
	await experiment.kill();
	return trial;
}

const [kept, lost] = [await endedTrial(), await endedTrial()];
const open = await client.createExperiment({ name: "open", entrypoint: "true" });
const checkpoint = await client.uploadCheckpoint("upload");
const lostCheckpoint = await client.uploadCheckpoint("upload");
const model = await client.createModel("digits");
const lostModel = await client.createModel("lost");
await model.registerVersion(checkpoint.uuid);
await model.registerVersion(checkpoint.uuid);

/** The classes, and how to come by an object of each: one that is kept, and one that may be lost. */
const subjects: readonly { type: { name: string; prototype: object }; kept: () => object; lost: () => object }[] = [
	{ type: Client, kept: () => client, lost: () => new Client({ server: server.address }) },
	{ type: AccountsClient, kept: () => client, lost: () => new Client({ server: server.address }) },
	{
		type: Checkpoint,
		kept: () => client.getCheckpoint(checkpoint.uuid),
		lost: () => client.getCheckpoint(lostCheckpoint.uuid),
	},
	{ type: Model, kept: () => client.getModel(model.modelId), lost: () => client.getModel(lostModel.modelId) },
	{
		type: ModelVersion,
		kept: () => client.getModel(model.modelId).getVersion(1),
		lost: () => client.getModel(model.modelId).getVersion(2),
	},
	{ type: User, kept: () => client.whoami(), lost: () => client.whoami() },
	{ type: Trial, kept: () => client.getTrial(kept.id), lost: () => client.getTrial(lost.id) },
	{
		type: Experiment,
		kept: () => client.getExperiment(kept.experimentId),
		lost: () => client.getExperiment(lost.experimentId),
	},
];

/** Right arguments of the methods that take more than one; of the others, only the first one is wrong. */
const rightArguments: Readonly<Record<string, readonly unknown[]>> = {
	"Client.uploadCheckpoint": ["upload", {}],
	"Client.createModel": ["digits", {}],
	"AccountsClient.createUser": ["determined", {}],
	"User.changePassword": ["short", {}],
	"Client.iterTrialsMetrics": [[kept.id], "inference", {}],
	"Client.createTrial": [open.id, {}],
	"Checkpoint.download": ["download", {}],
	"Checkpoint.summarizeMetrics": ["inference", {}],
	"Model.registerVersion": [checkpoint.uuid, {}],
	"ModelVersion.summarizeMetrics": ["inference", {}],
	"Trial.getMetrics": ["inference", {}],
	"Trial.iterMetrics": ["inference", {}],
};

/** What they lose, they lose of another object. */
const losing = ["delete", "kill", "cancel", "close"];

for (const { type, kept, lost } of subjects) {
	const names = Object.entries(Object.getOwnPropertyDescriptors(type.prototype)).flatMap(([name, { value }]) =>
		typeof value === "function" && name !== "constructor" ? [name] : [],
	);
	describe(type.name, () => {
		for (const name of names) {
			it(`${name} gives no error but a MillraceError with a documented code, whatever its arguments`, async () => {
				const right = rightArguments[`${type.name}.${name}`] ?? [];
				const subject = losing.includes(name) ? lost : kept;
				const call = (parameters: unknown[], of: object) =>
					outcome(() => (of as Record<string, Method>)[name]?.(...parameters));
				const failures: string[] = [];
				const fetched = await subject();
				for (let place = 0; place === 0 || place < right.length; place++) {
					const variants = wrongValues.map((value) => [value]);
					const refusal = await call([...right.slice(0, place), { unknownKey: 1 }], subject());
					const [, options] = /unknownKey of .*; it has (.*)$/.exec(String(refusal)) ?? [];
					for (const key of options?.split(", ") ?? []) {
						variants.push(...wrongValues.map((value) => [{ [key]: value }]));
					}
					for (const variant of variants) {
						const parameters = [...right.slice(0, place), ...variant];
						for (const of of [subject(), fetched]) {
							const thrown = await call(parameters, of);
							if (thrown !== undefined && !(thrown instanceof MillraceError && codes.includes(thrown.code))) {
								failures.push(
									`${described(variant[0])} at ${place}: ${thrown instanceof Error ? thrown.stack : String(thrown)}`,
								);
							}
						}
					}
				}
				assert.deepEqual(failures, []);
			});
		}
	});
}

function described(value: unknown): string {
	return JSON.stringify(value, (_, item: unknown) => (typeof item === "object" ? item : String(item)));
}

/** Returns what a call throws, or its promise rejects with; undefined if nothing. */
async function outcome(call: () => unknown): Promise<unknown> {
	let timer: NodeJS.Timeout | undefined;
	const late = new Promise((_, reject) => {
		timer = setTimeout(() => reject(new Error("no answer in 60 s")), 60_000);
	});
	try {
		await Promise.race([(async () => await call())(), late]);
		return undefined;
	} catch (error) {
		return error;
	} finally {
		clearTimeout(timer);
	}
}
