import type { Checkpoint } from "./checkpoint.js";
import type { Experiment } from "./experiment.js";
import type { Model } from "./model.js";
import type { ModelVersion } from "./model-version.js";
import type { MethodKinds } from "./pending.js";
import type { Trial } from "./trial.js";
import type { User } from "./user.js";

// Of all classes in one place: a trial leads to its experiment and back, which the files must not do.

/** What each method of a Checkpoint returns, for `pending`. */
export const checkpointMethods: MethodKinds<Checkpoint> = {
	download: "promise",
	writeMetadataFile: "promise",
	addMetadata: "promise",
	removeMetadata: "promise",
	delete: "promise",
	removeFiles: "promise",
	getMetrics: "list",
	summarizeMetrics: "promise",
	reload: "promise",
};

/** What each method of a ModelVersion returns, for `pending`. */
export const modelVersionMethods: MethodKinds<ModelVersion> = {
	getMetrics: "list",
	summarizeMetrics: "promise",
	iterMetrics: "list",
	setName: "promise",
	setNotes: "promise",
	setLabels: "promise",
	addMetadata: "promise",
	removeMetadata: "promise",
	delete: "promise",
	reload: "promise",
};

/** What each method of a Model returns, for `pending`. */
export const modelMethods: MethodKinds<Model> = {
	getVersion: () => modelVersionMethods,
	listVersions: "list",
	registerVersion: "promise",
	addMetadata: "promise",
	removeMetadata: "promise",
	setLabels: "promise",
	setDescription: "promise",
	setNotes: "promise",
	setName: "promise",
	archive: "promise",
	unarchive: "promise",
	delete: "promise",
	reload: "promise",
};

/** What each method of an Experiment returns, for `pending`. */
export const experimentMethods: MethodKinds<Experiment> = {
	listTrials: "list",
	iterTrials: "list",
	awaitFirstTrial: "promise",
	wait: "promise",
	listCheckpoints: "list",
	pause: "promise",
	activate: "promise",
	cancel: "promise",
	kill: "promise",
	archive: "promise",
	unarchive: "promise",
	delete: "promise",
	setName: "promise",
	setDescription: "promise",
	setNotes: "promise",
	addLabel: "promise",
	removeLabel: "promise",
	setLabels: "promise",
	reload: "promise",
};

/** What each method of a Trial returns, for `pending`. */
export const trialMethods: MethodKinds<Trial> = {
	getMetrics: "list",
	summarizeMetrics: "promise",
	iterMetrics: "list",
	iterLogs: "list",
	watch: "list",
	listCheckpoints: "list",
	listOutputs: "list",
	downloadOutputs: "promise",
	listErrors: "list",
	retryErrors: "promise",
	pause: "promise",
	activate: "promise",
	kill: "promise",
	reportTaskUsingCheckpoint: "promise",
	reportTaskUsingModelVersion: "promise",
	createWorkerToken: "promise",
	getExperiment: () => experimentMethods,
	reload: "promise",
};

/** What each method of a User returns, for `pending`. */
export const userMethods: MethodKinds<User> = {
	changeDisplayName: "promise",
	changePassword: "promise",
	activate: "promise",
	deactivate: "promise",
	setAdmin: "promise",
	reload: "promise",
};
