import { channel } from "node:diagnostics_channel";

/**
 * The steps of a commit and of the end of a trial, in a worker and in the server, at each of which a process may
 * die and nothing is lost. They are published on the diagnostics channel "millrace:step" as `{ step }`, in this
 * process and synchronously, so that a test can stop it there.
 */
export const stepNames = {
	worker: [
		// One commit.
		"commit.begin",
		"commit.checkpoint-start-done",
		"commit.reports-settled",
		"commit.outputs-synced",
		"commit.answered",
		// The barrier after it.
		"barrier.enter",
		"barrier.leave",
		// The end, after the last barrier.
		"end.partials-fetched",
		"end.reduced",
		"end.broadcast",
		"end.on-finish-done",
		"end.finish-commit-answered",
		"end.finish-enter",
		"end.finish-leave",
		"end.swept",
	],
	server: [
		"server.commit-received",
		"server.commit-written",
		"server.commit-durable",
		"server.step-decided",
		"server.finish-received",
		"server.finish-written",
		"server.finish-durable",
	],
} as const;

/** The name of a step. */
export type StepName = (typeof stepNames)[keyof typeof stepNames][number];

const steps = channel("millrace:step");

/** Publishes that this process is at a step. Costs nothing where nobody listens. */
export function atStep(step: StepName): void {
	if (steps.hasSubscribers) {
		steps.publish({ step });
	}
}
