import { randomUUID } from "node:crypto";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import { type Experiment as ExperimentMessage, ExperimentState as State } from "../gen/millrace/v1/experiment_pb.js";
import type { UpdateExperimentRequestSchema } from "../gen/millrace/v1/experiment_service_pb.js";
import { assertString, checkedStrings } from "./assert-string.js";
import type { AsyncList } from "./async-list.js";
import { type Checkpoint, checkpointList, type ListCheckpointsOptions } from "./checkpoint.js";
import type { Connection } from "./connection.js";
import type { FieldsOf } from "./fields.js";
import type { JsonObject } from "./json.js";
import type { Session } from "./session.js";
import type { Trial } from "./trial.js";
import { type ExperimentTrialsOptions, trialList } from "./trial-list.js";
import { intervalMs, type WaitOptions, waitForEnd, waitForTrial } from "./wait-for-experiment.js";

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
	/** The labels, at first those of the configuration; without duplicates. */
	declare readonly labels: readonly string[];
	/** The name, at first that of the configuration. */
	declare readonly name: string;
	/** The description, at first that of the configuration. */
	declare readonly description: string;
	/** Notes, in Markdown. */
	declare readonly notes: string;
	/** The part of the work that is done, from 0 to 1: the mean of the trials' progress. */
	declare readonly progress: number;
	/** Whether the experiment is archived: then nothing of it can be changed. */
	declare readonly archived: boolean;
	/** The user who created the experiment. */
	declare readonly username: string;
	/** How many trials it has. */
	declare readonly trialCount: number;
	/** The project: 1, "Uncategorized". */
	declare readonly projectId: number;
	/** When the experiment was created. */
	declare readonly creationTime: Date;
	/** When the last trial ended; null while one has not. */
	declare readonly endTime: Date | null;

	readonly #session: Session;

	/** @internal For the SDK's own use. */
	constructor(session: Session, message: ExperimentMessage) {
		this.#session = session;
		Object.assign(this, fieldsOf(message));
	}

	/**
	 * Lists the trials, by default the newest first.
	 *
	 * Reading throws `invalid_argument` for an option that is not of its type.
	 *
	 * Python: list_trials(sort_by, order_by, limit)
	 */
	listTrials(options: ExperimentTrialsOptions = {}): AsyncList<Trial> {
		return trialList(this.#session, options, this.id);
	}

	/**
	 * The same as listTrials.
	 *
	 * Python: iter_trials(sort_by, order_by, limit)
	 */
	iterTrials(options: ExperimentTrialsOptions = {}): AsyncList<Trial> {
		return this.listTrials(options);
	}

	/**
	 * Waits until the experiment has a trial, and returns its first one.
	 *
	 * @param options `interval` is 0.1 seconds by default.
	 *
	 * Python: await_first_trial(interval)
	 */
	async awaitFirstTrial(options: WaitOptions = {}): Promise<Trial> {
		const ms = intervalMs(options, "awaitFirstTrial", 0.1);
		return waitForTrial(async () => {
			for await (const trial of this.listTrials({ sortBy: "ID", limit: 1 })) {
				return trial;
			}
			// Unlike its list, it is not found where the experiment is deleted.
			await this.reload();
			return undefined;
		}, ms);
	}

	/**
	 * Waits until the experiment has ended, and returns its state: COMPLETED, CANCELED or ERROR. One that is paused is
	 * waited for, which is said on stderr once a minute. The fields follow. A server that is away is waited for as in
	 * each call, 5 minutes at most.
	 *
	 * Python: wait(interval)
	 */
	async wait(options: WaitOptions = {}): Promise<ExperimentState> {
		const reload = async () => {
			await this.reload();
			return this.state;
		};
		return waitForEnd(this.id, reload, intervalMs(options, "wait", 5));
	}

	/**
	 * Lists the checkpoints of its trials, the best first by the searcher's metric, and those without it after that, the
	 * newest first.
	 *
	 * Python: list_checkpoints(sort_by, order_by, max_results)
	 */
	listCheckpoints(options: ListCheckpointsOptions = {}): AsyncList<Checkpoint> {
		return checkpointList(this.#session, { experimentId: this.id }, options);
	}

	/**
	 * Asks all its trials to stop at their next commit, to go on later. Without effect on those that have ended.
	 *
	 * Python: pause()
	 */
	pause(): Promise<void> {
		return this.#change((experiments) => experiments.pauseExperiment({ experimentId: this.id }));
	}

	/**
	 * Lets its trials go on, and withdraws requests to pause; those that are completed or canceled stay so.
	 *
	 * Throws `failed_precondition` if the experiment is archived and a trial would go on.
	 *
	 * Python: activate()
	 */
	activate(): Promise<void> {
		return this.#change((experiments) => experiments.activateExperiment({ experimentId: this.id }));
	}

	/**
	 * Ends its trials for good: those that run at their next commit, the others at once. Their state is then CANCELED.
	 *
	 * Python: cancel()
	 */
	cancel(): Promise<void> {
		return this.#change((experiments) => experiments.cancelExperiment({ experimentId: this.id }));
	}

	/**
	 * Ends its trials at once; their state is then CANCELED. Without effect on those that have ended.
	 *
	 * Python: kill()
	 */
	kill(): Promise<void> {
		return this.#change((experiments) => experiments.killExperiment({ experimentId: this.id }));
	}

	/**
	 * Archives the experiment: nothing of it can be changed then, and none of its trials runs again.
	 *
	 * Throws `failed_precondition` if one of its trials may still run.
	 *
	 * Python: archive()
	 */
	archive(): Promise<void> {
		return this.#change((experiments) => experiments.archiveExperiment({ experimentId: this.id }));
	}

	/**
	 * Makes an archived experiment writable again.
	 *
	 * Python: unarchive()
	 */
	unarchive(): Promise<void> {
		return this.#change((experiments) => experiments.unarchiveExperiment({ experimentId: this.id }));
	}

	/**
	 * Deletes the experiment with its trials: their metrics, logs and outputs, and the checkpoints that they wrote, with
	 * all files.
	 *
	 * Throws `failed_precondition` if one of its trials may still run, or one of its checkpoints is that of a model
	 * version.
	 *
	 * Python: delete()
	 */
	async delete(): Promise<void> {
		const { experiments } = await this.#session.connection();
		await experiments.deleteExperiment({ requestId: randomUUID(), experimentId: this.id });
	}

	/**
	 * Sets the name.
	 *
	 * Throws `invalid_argument` if it is blank, `failed_precondition` if the experiment is archived.
	 *
	 * Python: set_name(name)
	 */
	async setName(name: string): Promise<void> {
		assertString(name, "name");
		await this.#update({ name });
	}

	/**
	 * Sets the description.
	 *
	 * Throws `failed_precondition` if the experiment is archived.
	 *
	 * Python: set_description(description)
	 */
	async setDescription(description: string): Promise<void> {
		assertString(description, "description");
		await this.#update({ description });
	}

	/**
	 * Sets the notes.
	 *
	 * Throws `failed_precondition` if the experiment is archived.
	 *
	 * Python: set_notes(notes)
	 */
	async setNotes(notes: string): Promise<void> {
		assertString(notes, "notes");
		await this.#update({ notes });
	}

	/**
	 * Adds a label, unless it is there. It may hold any character, commas too.
	 *
	 * Throws `invalid_argument` if it is empty, `failed_precondition` if the experiment is archived.
	 *
	 * Python: add_label(label)
	 */
	async addLabel(label: string): Promise<void> {
		assertString(label, "label");
		await this.#update({ addLabels: [label] });
	}

	/**
	 * Removes a label, if it is there.
	 *
	 * Throws `failed_precondition` if the experiment is archived.
	 *
	 * Python: remove_label(label)
	 */
	async removeLabel(label: string): Promise<void> {
		assertString(label, "label");
		await this.#update({ removeLabels: [label] });
	}

	/**
	 * Replaces all labels. Duplicates are dropped, the order is kept.
	 *
	 * Throws `invalid_argument` if one is empty, `failed_precondition` if the experiment is archived.
	 *
	 * Python: set_labels(labels)
	 */
	async setLabels(labels: readonly string[]): Promise<void> {
		await this.#update({ labels: { labels: checkedStrings(labels, "labels") } });
	}

	/**
	 * Fetches the experiment again and updates this object.
	 *
	 * Python: reload()
	 */
	reload(): Promise<void> {
		return this.#change((experiments) => experiments.getExperiment({ experimentId: this.id }));
	}

	#update(change: MessageInitShape<typeof UpdateExperimentRequestSchema>): Promise<void> {
		const request = { requestId: randomUUID(), experimentId: this.id };
		return this.#change((experiments) => experiments.updateExperiment({ ...change, ...request }));
	}

	async #change(
		call: (experiments: Connection["experiments"]) => Promise<{ experiment?: ExperimentMessage | undefined }>,
	): Promise<void> {
		const { experiments } = await this.#session.connection();
		Object.assign(this, fieldsOf((await call(experiments)).experiment as ExperimentMessage));
	}
}

/** Fetches an experiment. Throws `not_found` if there is none with this id. */
export async function fetchExperiment(session: Session, experimentId: number): Promise<ExperimentMessage> {
	const { experiments } = await session.connection();
	return (await experiments.getExperiment({ experimentId })).experiment as ExperimentMessage;
}

function fieldsOf(message: ExperimentMessage): FieldsOf<Experiment> {
	return {
		id: message.id,
		config: message.config ?? {},
		state: State[message.state] as ExperimentState,
		labels: message.labels,
		name: message.name,
		description: message.description,
		notes: message.notes,
		progress: message.progress,
		archived: message.archived,
		username: message.username,
		trialCount: message.trialCount,
		projectId: message.projectId,
		creationTime: message.createTime ? timestampDate(message.createTime) : new Date(0),
		endTime: message.endTime ? timestampDate(message.endTime) : null,
	};
}
