import { type Experiment as ExperimentMessage, ExperimentState as State } from "../gen/millrace/v1/experiment_pb.js";
import { type AsyncList, pagedList } from "./async-list.js";
import type { FieldsOf } from "./fields.js";
import type { JsonObject } from "./json.js";
import type { Session } from "./session.js";
import { Trial } from "./trial.js";

/** The state of an experiment, which follows from the states of its trials. */
export type ExperimentState = "UNSPECIFIED" | "ACTIVE" | "PAUSED" | "COMPLETED" | "CANCELED" | "ERROR";

/**
 * A named configuration that holds trials. From `client.getExperiment`, `client.listExperiments` or
 * `client.createExperiment`.
 *
 * Python: Experiment
 */
export class Experiment {
	/** The id. */
	declare readonly id: number;
	/** The configuration as the user wrote it, with the defaults filled in. */
	declare readonly config: JsonObject;
	/** The state. */
	declare readonly state: ExperimentState;
	/** The labels, from the configuration. */
	declare readonly labels: readonly string[];
	/** The name, from the configuration. */
	declare readonly name: string;
	/** The description, from the configuration. */
	declare readonly description: string;
	/** The part of the work that is done, from 0 to 1. */
	declare readonly progress: number;

	readonly #session: Session;

	/** @internal For the SDK's own use. */
	constructor(session: Session, message: ExperimentMessage) {
		this.#session = session;
		Object.assign(this, fieldsOf(message));
	}

	/**
	 * Lists the trials, the newest first.
	 *
	 * Python: list_trials()
	 */
	listTrials(): AsyncList<Trial> {
		return trialList(this.#session, this.id);
	}

	/**
	 * Asks all its trials to stop at their next commit, to go on later. Without effect on those that have ended.
	 *
	 * Python: pause()
	 */
	async pause(): Promise<void> {
		const { experiments } = await this.#session.connection();
		const { experiment } = await experiments.pauseExperiment({ experimentId: this.id });
		Object.assign(this, fieldsOf(experiment as ExperimentMessage));
	}

	/**
	 * Lets its trials go on, and withdraws requests to pause; those that are completed or canceled stay so.
	 *
	 * Python: activate()
	 */
	async activate(): Promise<void> {
		const { experiments } = await this.#session.connection();
		const { experiment } = await experiments.activateExperiment({ experimentId: this.id });
		Object.assign(this, fieldsOf(experiment as ExperimentMessage));
	}

	/**
	 * Fetches the experiment again and updates this object.
	 *
	 * Python: reload()
	 */
	async reload(): Promise<void> {
		Object.assign(this, fieldsOf(await fetchExperiment(this.#session, this.id)));
	}
}

/** Fetches an experiment. Throws `not_found` if there is none with this id. */
export async function fetchExperiment(session: Session, experimentId: number): Promise<ExperimentMessage> {
	const { experiments } = await session.connection();
	return (await experiments.getExperiment({ experimentId })).experiment as ExperimentMessage;
}

/** Lists the trials of an experiment, or of all for experiment 0, the newest first. */
export function trialList(session: Session, experimentId: number): AsyncList<Trial> {
	return pagedList(async (page) => {
		const { trials } = await session.connection();
		const answer = await trials.listTrials({ ...page, experimentId });
		return {
			items: answer.trials.map((message) => new Trial(session, message)),
			nextPageToken: answer.nextPageToken,
		};
	});
}

function fieldsOf(message: ExperimentMessage): FieldsOf<Experiment> {
	return {
		id: message.id,
		config: message.config ?? {},
		state: State[message.state] as ExperimentState,
		labels: message.labels,
		name: message.name,
		description: message.description,
		progress: message.progress,
	};
}
