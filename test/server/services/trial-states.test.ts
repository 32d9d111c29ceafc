import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { isMillraceError } from "../../../src/errors.js";
import { ExperimentService } from "../../../src/gen/millrace/v1/experiment_service_pb.js";
import { type Trial, TrialRunState, TrialState } from "../../../src/gen/millrace/v1/trial_pb.js";
import { TrialService } from "../../../src/gen/millrace/v1/trial_service_pb.js";
import { startTestServer } from "../../support/start-test-server.js";

const server = await startTestServer();
const experiments = server.client(ExperimentService);
const trials = server.client(TrialService);

/** A trial's states, as the table tells them apart: what it is, whether a run is open, and what was asked of it. */
const states = {
	waiting: async () => {},
	running: async (trialId: number) => void (await start(trialId)),
	"to pause": async (trialId: number) => {
		await start(trialId);
		await trials.pauseTrial({ trialId });
	},
	"to cancel": async (trialId: number, experimentId: number) => {
		await start(trialId);
		await experiments.cancelExperiment({ experimentId });
	},
	PAUSED: async (trialId: number) => void (await trials.pauseTrial({ trialId })),
	COMPLETED: async (trialId: number) => endRun(trialId, TrialRunState.COMPLETED),
	CANCELED: async (trialId: number) => void (await trials.killTrial({ trialId })),
	ERROR: async (trialId: number) => endRun(trialId, TrialRunState.FAILED),
} as const;

const actions = {
	pause: ({ trialId }: Ids) => trials.pauseTrial({ trialId }),
	activate: ({ trialId }: Ids) => trials.activateTrial({ trialId }),
	kill: ({ trialId }: Ids) => trials.killTrial({ trialId }),
	start: ({ trialId }: Ids) => start(trialId),
	"pause all": ({ experimentId }: Ids) => experiments.pauseExperiment({ experimentId }),
	"activate all": ({ experimentId }: Ids) => experiments.activateExperiment({ experimentId }),
	"cancel all": ({ experimentId }: Ids) => experiments.cancelExperiment({ experimentId }),
	"kill all": ({ experimentId }: Ids) => experiments.killExperiment({ experimentId }),
	archive: ({ experimentId }: Ids) => experiments.archiveExperiment({ experimentId }),
	"fail the run": ({ trialId }: Ids) => trials.endTrialRun({ trialId, trialRunId: 1, state: TrialRunState.FAILED }),
} as const;

type State = keyof typeof states;
type Action = keyof typeof actions;
interface Ids {
	readonly trialId: number;
	readonly experimentId: number;
}

async function start(trialId: number) {
	return trials.startTrialRun({ trialId });
}

async function endRun(trialId: number, state: TrialRunState): Promise<void> {
	const { trialRun } = await start(trialId);
	await trials.endTrialRun({ trialId, trialRunId: trialRun?.trialRunId ?? 0, state });
}

const final = (state: string) =>
	`illegal transition ${state} -> ACTIVE for trial N: it has ended, which is final; create another trial`;
const notEnded = (state: string) =>
	`trial N of experiment N is ${state}; cancel or kill the experiment, then archive it`;
const open = /^run 1 of trial N is open/;
const noRun = "trial N has no run 1";

// What follows from each action in each state: the state afterwards, or the message of the refusal.
const table: Readonly<Record<Action, Readonly<Record<State, State | string | RegExp>>>> = {
	pause: {
		waiting: "PAUSED",
		running: "to pause",
		"to pause": "to pause",
		"to cancel": "to cancel, to pause",
		PAUSED: "PAUSED",
		COMPLETED: "COMPLETED",
		CANCELED: "CANCELED",
		ERROR: "ERROR",
	},
	activate: {
		waiting: "waiting",
		running: "running",
		"to pause": "running",
		"to cancel":
			"illegal transition STOPPING_CANCELED -> ACTIVE for trial N: it is canceled with its next commit; create another trial",
		PAUSED: "waiting",
		COMPLETED: final("COMPLETED"),
		CANCELED: final("CANCELED"),
		ERROR: "waiting",
	},
	kill: {
		waiting: "CANCELED",
		running: "CANCELED",
		"to pause": "CANCELED",
		"to cancel": "CANCELED",
		PAUSED: "CANCELED",
		COMPLETED: "COMPLETED",
		CANCELED: "CANCELED",
		ERROR: "ERROR",
	},
	start: {
		waiting: "running",
		running: open,
		"to pause": open,
		"to cancel": open,
		PAUSED: "trial N is paused; activate it first",
		COMPLETED: "trial N is completed; create another trial",
		CANCELED: "trial N is canceled; create another trial",
		ERROR: "running",
	},
	"pause all": {
		waiting: "PAUSED",
		running: "to pause",
		"to pause": "to pause",
		"to cancel": "to cancel, to pause",
		PAUSED: "PAUSED",
		COMPLETED: "COMPLETED",
		CANCELED: "CANCELED",
		ERROR: "ERROR",
	},
	"activate all": {
		waiting: "waiting",
		running: "running",
		"to pause": "running",
		"to cancel": "to cancel",
		PAUSED: "waiting",
		COMPLETED: "COMPLETED",
		CANCELED: "CANCELED",
		ERROR: "waiting",
	},
	"cancel all": {
		waiting: "CANCELED",
		running: "to cancel",
		"to pause": "to cancel, to pause",
		"to cancel": "to cancel",
		PAUSED: "CANCELED",
		COMPLETED: "COMPLETED",
		CANCELED: "CANCELED",
		ERROR: "ERROR",
	},
	"kill all": {
		waiting: "CANCELED",
		running: "CANCELED",
		"to pause": "CANCELED",
		"to cancel": "CANCELED",
		PAUSED: "CANCELED",
		COMPLETED: "COMPLETED",
		CANCELED: "CANCELED",
		ERROR: "ERROR",
	},
	archive: {
		waiting: notEnded("ACTIVE"),
		running: notEnded("ACTIVE"),
		"to pause": notEnded("ACTIVE"),
		"to cancel": notEnded("ACTIVE"),
		PAUSED: notEnded("PAUSED"),
		COMPLETED: "COMPLETED",
		CANCELED: "CANCELED",
		ERROR: "ERROR",
	},
	"fail the run": {
		waiting: noRun,
		running: "ERROR",
		"to pause": "PAUSED",
		"to cancel": "CANCELED",
		PAUSED: noRun,
		COMPLETED: "COMPLETED",
		CANCELED: noRun,
		ERROR: "ERROR",
	},
};

async function shown(trialId: number): Promise<string> {
	const { trial } = await trials.getTrial({ trialId });
	const { state, cancelRequested, pauseRequested, trialRunId, endTime } = trial as Trial;
	const name = TrialState[state] ?? "";
	assert.equal(
		endTime !== undefined,
		["COMPLETED", "CANCELED", "ERROR"].includes(name),
		"only what has ended has an end",
	);
	if (name !== "ACTIVE") {
		assert.deepEqual([cancelRequested, pauseRequested], [false, false]);
		return name;
	}
	const asked = [cancelRequested ? "to cancel" : [], pauseRequested ? "to pause" : []].flat().join(", ");
	if (asked !== "") {
		return asked;
	}
	const { trialRun } = trialRunId === 0 ? {} : await trials.getTrialRun({ trialId, trialRunId });
	return trialRun?.state === TrialRunState.RUNNING ? "running" : "waiting";
}

describe("the state of a trial", { timeout: 120_000 }, () => {
	for (const [action, outcomes] of Object.entries(table)) {
		it(`follows from ${action}, in each state`, async () => {
			assert.deepEqual(Object.keys(outcomes), Object.keys(states));
			for (const [state, outcome] of Object.entries(outcomes)) {
				const { experiment } = await experiments.createExperiment({ config: { name: "states" } });
				const experimentId = experiment?.id ?? 0;
				const { trial } = await trials.createTrial({ experimentId, maxRestarts: 0 });
				const trialId = trial?.id ?? 0;
				await states[state as State](trialId, experimentId);
				assert.equal(await shown(trialId), state);
				const error = await actions[action as Action]({ trialId, experimentId }).then(
					() => undefined,
					(error: Error) => error,
				);
				if (error === undefined) {
					assert.equal(await shown(trialId), outcome, `${action} in the state ${state}`);
					continue;
				}
				const code = outcome === noRun ? "not_found" : "failed_precondition";
				assert.ok(isMillraceError(error, code), `${action} in the state ${state}: ${error}`);
				const message = error.message.replaceAll(/(trial|experiment) \d+/g, "$1 N");
				if (outcome instanceof RegExp) {
					assert.match(message, outcome);
				} else {
					assert.equal(message, outcome);
				}
				assert.equal(await shown(trialId), state, "what is refused changes nothing");
			}
		});
	}
});
