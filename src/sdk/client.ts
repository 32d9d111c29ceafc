import { randomUUID } from "node:crypto";
import { isMillraceError, MillraceError } from "../errors.js";
import type { Experiment as ExperimentMessage } from "../gen/millrace/v1/experiment_pb.js";
import type { Model as ModelMessage } from "../gen/millrace/v1/model_pb.js";
import type { Trial as TrialMessage } from "../gen/millrace/v1/trial_pb.js";
import { AccountsClient } from "./accounts-client.js";
import { assertBoolean } from "./assert-boolean.js";
import { assertNumber } from "./assert-number.js";
import { assertKnownOptions } from "./assert-options.js";
import { assertSecret } from "./assert-secret.js";
import { assertString, checkedStrings } from "./assert-string.js";
import { type AsyncList, pagedList } from "./async-list.js";
import { Checkpoint, checkpointList, fetchCheckpoint, type ListCheckpointsOptions } from "./checkpoint.js";
import { connect, type ServerChoice } from "./connect.js";
import type { Connection } from "./connection.js";
import { Experiment } from "./experiment.js";
import { experimentList, type ListExperimentsOptions } from "./experiment-list.js";
import { type JsonObject, toJsonObject } from "./json.js";
import { checkpointMethods, modelMethods, trialMethods } from "./method-kinds.js";
import { fetchModel, Model } from "./model.js";
import { type ListModelsOptions, modelList } from "./model-list.js";
import { type Pending, pending } from "./pending.js";
import { shown } from "./shown.js";
import { assertTls } from "./tls-options.js";
import { fetchTrial, Trial } from "./trial.js";
import { type ListTrialsOptions, trialList } from "./trial-list.js";
import { metricsOfTrials, type TrialMetrics, type TrialMetricsOptions } from "./trial-metrics.js";
import { type UploadCheckpointOptions, uploadCheckpoint } from "./upload-checkpoint.js";

/** Options of a Client. */
export interface ClientOptions extends ServerChoice {
	/** @internal An open connection to use instead, as the runtime has one. The client's close leaves it open. */
	readonly connection?: Connection;
}

/** Options of `client.createModel`. */
export interface CreateModelOptions {
	/** The description. Default: "". */
	readonly description?: string;
	/** Metadata. Default: {}. */
	readonly metadata?: JsonObject;
	/** Labels; duplicates are dropped. Default: none. */
	readonly labels?: readonly string[];
	/** Whether a model of this name that exists already is returned, unchanged. Default: false. */
	readonly existOk?: boolean;
}

/** Options of `client.createTrial`. */
export interface CreateTrialOptions {
	/** The hyperparameters. Default: {}. */
	readonly hparams?: JsonObject;
	/** How many runs may fail before the trial does. Default: 5. */
	readonly maxRestarts?: number;
}

/**
 * The way to one server. Making one sends nothing: it connects at its first use, to the first of these:
 * `options.server`; the environment's `MILLRACE_SERVER`, unless a data directory is given; the live server of
 * the data directory; an embedded server that is started on it.
 *
 * Every call throws MillraceError: `unavailable` if the server does not answer, `failed_precondition` if an
 * embedded server cannot start, `unauthenticated` if the server has accounts and is shown no token that is valid,
 * `permission_denied` if it may not be called with that, and what the method says. An open client does not keep a script
 * alive.
 *
 * Python: the module determined.experimental.client, and Determined
 *
 * @example
 * ```ts
 * import { Client } from "millrace";
 *
 * const client = new Client({ server: "gpu-box:8090" });
 * for await (const trial of client.listTrials()) {
 * 	console.log(trial.id, trial.state);
 * }
 * await client.close();
 * ```
 */
export class Client extends AccountsClient {
	constructor(options: ClientOptions = {}) {
		assertKnownOptions(options, "Client", ["server", "dataDirectory", "token", "tls", "connection"]);
		if (options.token !== undefined) {
			assertSecret(options.token, "token");
		}
		for (const name of ["server", "dataDirectory"] as const) {
			if (options[name] !== undefined) {
				assertString(options[name], name);
			}
		}
		assertTls(options.tls);
		const { connection } = options;
		super(connection === undefined ? () => connect(options) : async () => ({ ...connection, close: () => {} }));
	}

	/**
	 * Returns a checkpoint.
	 *
	 * Throws `not_found` if there is none with this UUID.
	 *
	 * Python: get_checkpoint(uuid)
	 *
	 * @example
	 * ```ts
	 * import { client } from "millrace";
	 *
	 * const uuid = "6b8f1f0e-0000-4000-8000-000000000000";
	 * for await (const { trialId, metrics } of client.getCheckpoint(uuid).getMetrics("inference")) {
	 * 	console.log(trialId, metrics);
	 * }
	 * const checkpoint = await client.getCheckpoint(uuid);
	 * console.log(checkpoint.state, checkpoint.resources);
	 * ```
	 */
	getCheckpoint(uuid: string): Pending<Checkpoint> {
		return pending(async () => {
			assertString(uuid, "the checkpoint's UUID");
			return new Checkpoint(this.session, await fetchCheckpoint(this.session, uuid));
		}, checkpointMethods);
	}

	/**
	 * Lists checkpoints, also those that no trial wrote, the newest first. Those of a trial or an experiment can be sorted by
	 * more: `trial.listCheckpoints` and `experiment.listCheckpoints`.
	 *
	 * Reading throws `invalid_argument` for an option that is not of its type, and for a sort that needs a trial or an
	 * experiment.
	 */
	listCheckpoints(options: ListCheckpointsOptions = {}): AsyncList<Checkpoint> {
		return checkpointList(this.session, undefined, options);
	}

	/**
	 * Uploads a file, or all files of a directory, as a COMPLETED checkpoint in the server's storage: directly where
	 * this machine reaches it, else through the server. What fails leaves nothing behind, unless the server is away:
	 * then an ACTIVE checkpoint stays for a week, or until it is deleted.
	 *
	 * Throws `not_found` if nothing is at the path, `invalid_argument` if a directory holds no file or the
	 * metadata is not JSON, `aborted` if a file changes meanwhile.
	 *
	 * @example
	 * ```ts
	 * import { client } from "millrace";
	 *
	 * const checkpoint = await client.uploadCheckpoint("model.onnx", { metadata: { epoch: 3 }, reuse: true });
	 * const model = await client.createModel("digits", { existOk: true });
	 * await model.registerVersion(checkpoint.uuid);
	 * ```
	 */
	async uploadCheckpoint(path: string, options: UploadCheckpointOptions = {}): Promise<Checkpoint> {
		assertKnownOptions(options, "uploadCheckpoint", ["metadata", "reuse", "mode"]);
		return new Checkpoint(this.session, await uploadCheckpoint(() => this.session.connection(), path, options));
	}

	/**
	 * Creates a model.
	 *
	 * Throws `already_exists` if there is one of this name, unless `existOk`; `invalid_argument` if the name is
	 * blank, has two spaces in a row, a slash or a backslash, or is only digits.
	 *
	 * Python: create_model(name, description, metadata, labels)
	 */
	async createModel(name: string, options: CreateModelOptions = {}): Promise<Model> {
		assertKnownOptions(options, "createModel", ["description", "metadata", "labels", "existOk"]);
		assertString(name, "name");
		const { description = "", metadata = {}, labels = [], existOk = false } = options;
		assertString(description, "description");
		assertBoolean(existOk, "existOk");
		const request = {
			...{ requestId: randomUUID(), name, description, existOk },
			metadata: toJsonObject(metadata, "metadata"),
			labels: checkedStrings(labels, "labels"),
		};
		const { models } = await this.session.connection();
		const { model } = await models.createModel(request).catch((error) => {
			throw isMillraceError(error, "already_exists")
				? new MillraceError(error.code, `${error.message}; existOk: true returns the one that exists`)
				: error;
		});
		return new Model(this.session, model as ModelMessage);
	}

	/**
	 * Returns a model by its name or its id.
	 *
	 * Throws `not_found` if there is none.
	 *
	 * Python: get_model(identifier)
	 *
	 * @example
	 * ```ts
	 * import { client } from "millrace";
	 *
	 * const reports = await client.getModel("digits").getVersion(1).getMetrics<{ accuracy: number }>("inference");
	 * console.log(reports.map(({ metrics }) => metrics.accuracy));
	 * ```
	 */
	getModel(nameOrId: string | number): Pending<Model> {
		return pending(async () => {
			if (typeof nameOrId === "number") {
				assertNumber(nameOrId, "the model id");
			} else {
				assertString(nameOrId, "the model");
			}
			return new Model(this.session, await fetchModel(this.session, String(nameOrId)));
		}, modelMethods);
	}

	/**
	 * Lists models, by default in the order of their names. A workspace or user that does not exist has none.
	 *
	 * Reading throws `invalid_argument` for an option that is not of its type.
	 *
	 * Python: list_models(sort_by, order_by, name, description, model_id, workspace_names, workspace_ids)
	 */
	listModels(options: ListModelsOptions = {}): AsyncList<Model> {
		return modelList(this.session, options);
	}

	/**
	 * Lists the labels of all models: first what most models have, equals in the order of their letters.
	 *
	 * Python: get_model_labels()
	 */
	getModelLabels(): AsyncList<string> {
		return pagedList(async (page) => {
			const { models } = await this.session.connection();
			const { labels, nextPageToken } = await models.listModelLabels(page);
			return { items: labels, nextPageToken };
		});
	}

	/**
	 * Returns a trial.
	 *
	 * Throws `not_found` if there is none with this id.
	 *
	 * Python: get_trial(trial_id)
	 */
	getTrial(id: number): Pending<Trial> {
		return pending(async () => {
			assertNumber(id, "the trial id");
			return new Trial(this.session, await fetchTrial(this.session, id));
		}, trialMethods);
	}

	/**
	 * Lists trials, by default all, the newest first.
	 *
	 * Reading throws `invalid_argument` for an option that is not of its type, and for a sort that needs an
	 * `experimentId` without one.
	 */
	listTrials(options: ListTrialsOptions = {}): AsyncList<Trial> {
		return trialList(this.session, options);
	}

	/**
	 * Reads what was reported by some trials, ordered by trial, run and steps. With `follow` it goes on with what they
	 * report later, until all of them have ended.
	 *
	 * @param group Only this metric group. Default, and "": all.
	 *
	 * Reading throws `not_found` if a trial does not exist, `invalid_argument` if there are no ids.
	 *
	 * Python: iter_trials_metrics(trial_ids, group)
	 */
	iterTrialsMetrics<M extends JsonObject = JsonObject>(
		trialIds: readonly number[],
		group?: string,
		options: TrialMetricsOptions = {},
	): AsyncList<TrialMetrics<M>> {
		if (!Array.isArray(trialIds)) {
			throw new MillraceError(
				"invalid_argument",
				`the trial ids are ${shown(trialIds)}; they must be an array of numbers`,
			);
		}
		for (const id of trialIds) {
			assertNumber(id, "the trial id");
		}
		return metricsOfTrials<M>(this.session, "iterTrialsMetrics", trialIds, group, options);
	}

	/**
	 * Records a trial of an experiment. It runs when workers join it; `millrace run` does both.
	 *
	 * Throws `not_found` if the experiment does not exist, `invalid_argument` if the hyperparameters are not
	 * JSON or `maxRestarts` is negative.
	 */
	async createTrial(experimentId: number, options: CreateTrialOptions = {}): Promise<Trial> {
		assertNumber(experimentId, "the experiment id");
		assertKnownOptions(options, "createTrial", ["hparams", "maxRestarts"]);
		const { maxRestarts = 5 } = options;
		const hparams = toJsonObject(options.hparams ?? {}, "hparams");
		assertNumber(maxRestarts, "maxRestarts", 0);
		const { trials } = await this.session.connection();
		const { trial } = await trials.createTrial({
			requestId: randomUUID(),
			experimentId,
			hparams,
			maxRestarts,
		});
		return new Trial(this.session, trial as TrialMessage);
	}

	/**
	 * Returns an experiment.
	 *
	 * Throws `not_found` if there is none with this id.
	 *
	 * Python: get_experiment(experiment_id)
	 */
	getExperiment(id: number): Pending<Experiment> {
		return this.session.getExperiment(id);
	}

	/**
	 * Lists experiments, by default the newest first.
	 *
	 * Reading throws `invalid_argument` for an option that is not of its type.
	 *
	 * Python: list_experiments(sort_by, order_by, experiment_ids, labels, users, states, name, project_id)
	 */
	listExperiments(options: ListExperimentsOptions = {}): AsyncList<Experiment> {
		return experimentList(this.session, options);
	}

	/**
	 * Records an experiment, with Determined's configuration keys. It does not run it; `millrace run` does.
	 *
	 * Throws `invalid_argument`, naming the key, if the configuration breaks a rule.
	 *
	 * Python: create_experiment(config)
	 *
	 * @example
	 * ```ts
	 * import { client } from "millrace";
	 *
	 * const experiment = await client.createExperiment({ name: "digits", entrypoint: "npx tsx worker.ts" });
	 * const trial = await client.createTrial(experiment.id, { hparams: { model: "digits" } });
	 * console.log(`MILLRACE_TRIAL_ID=${trial.id}`);
	 * ```
	 */
	async createExperiment(config: JsonObject): Promise<Experiment> {
		const checked = toJsonObject(config, "config");
		const { experiments } = await this.session.connection();
		const { experiment } = await experiments.createExperiment({ requestId: randomUUID(), config: checked });
		return new Experiment(this.session, experiment as ExperimentMessage);
	}
}

/**
 * The default client: `new Client()`. Importing it does nothing; it connects at its first use.
 *
 * Python: the functions of determined.experimental.client
 */
export const client: Client = /* @__PURE__ */ new Client();
