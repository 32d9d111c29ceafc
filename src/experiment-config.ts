import { MillraceError } from "./errors.js";
import { checkKeys, type KnownKeys, keys } from "./known-keys.js";

/** What JSON can say. */
export type ConfigValue = string | number | boolean | null | ConfigValue[] | ConfigObject;

/** A JSON object. Its keys are the user's and are never renamed. */
export type ConfigObject = { [key: string]: ConfigValue };

/** Where checkpoints and outputs are kept, with Determined's keys. */
export type CheckpointStorageConfig =
	| { type: "shared_fs"; host_path: string; storage_path?: string; [key: string]: ConfigValue }
	| { type: "directory"; container_path: string; [key: string]: ConfigValue };

/**
 * An experiment's configuration as the user wrote it, checked, and with the defaults filled in. It is a
 * JSON object with Determined's keys, so it can be sent and stored as it is.
 */
export type ExperimentConfig = {
	/** Default "experiment". */
	name: string;
	/** Default "". */
	description: string;
	/** Default []. */
	labels: string[];
	/** A command line for the shell, or a program and its arguments. Only `millrace run` needs it. */
	entrypoint?: string | string[];
	/** `slots_per_trial` is the number of workers, default 1. */
	resources: { slots_per_trial: number; [key: string]: ConfigValue };
	/** How many runs may fail before the trial does. Default 5. */
	max_restarts: number;
	/** Plain values, nested maps of them, and `{type: const, val}`; see `hparamsOf`. Default {}. */
	hyperparameters: ConfigObject;
	/** Anything; the worker gets it as it is. Default {}. */
	data: ConfigObject;
	/** Default: the server's own storage. */
	checkpoint_storage?: CheckpointStorageConfig;
	/** See `environmentVariablesOf`. */
	environment?: ConfigObject;
	/** Keys that Determined knows and Millrace does not use stay where they are. */
	[key: string]: ConfigValue;
};

/** The number of failed runs that a trial survives if its configuration does not say. */
export const defaultMaxRestarts = 5;

/**
 * Checks the content of an experiment's YAML file, given as a parsed object, and fills in the defaults.
 * Keys that Determined knows and Millrace does not use give one warning that lists them. The value itself
 * is not changed.
 *
 * Throws invalid_argument, naming the key's path and the value, when a rule is broken.
 */
export function parseExperimentConfig(value: unknown): { config: ExperimentConfig; warnings: string[] } {
	assertJson(value, "", []);
	if (!isObject(value)) {
		throw invalid(`the configuration must be a map of keys, not ${show(value)}; start with "name: …"`);
	}
	const unused: string[] = [];
	checkKeys(value, "", topKeys, unused);

	const config: ExperimentConfig = {
		...value,
		name: text(value, "name") ?? "experiment",
		description: text(value, "description") ?? "",
		labels: labels(value.labels),
		resources: resources(value.resources, unused),
		max_restarts: wholeNumber(value.max_restarts, "max_restarts", 0) ?? defaultMaxRestarts,
		hyperparameters: map(value.hyperparameters, "hyperparameters") ?? {},
		data: map(value.data, "data") ?? {},
	};
	// Keys that are written without a value say nothing.
	for (const key of Object.keys(config)) {
		if (config[key] === null) {
			delete config[key];
		}
	}
	plainHparams(config.hyperparameters, "hyperparameters");
	const command = entrypoint(value.entrypoint);
	if (command !== undefined) {
		config.entrypoint = command;
	}
	const storage = checkpointStorage(value.checkpoint_storage, unused);
	if (storage !== undefined) {
		config.checkpoint_storage = storage;
	}
	const environment = map(value.environment, "environment");
	if (environment !== undefined) {
		checkKeys(environment, "environment", environmentKeys, unused);
		environmentVariables(environment.environment_variables);
	}
	searcher(value.searcher, unused);

	const warnings =
		unused.length === 0
			? []
			: [`known from Determined, but without effect here: ${unused.join(", ")}; remove what you do not need`];
	return { config, warnings };
}

/**
 * Returns a trial's hyperparameters: each `{type: const, val}` replaced by its value.
 *
 * Throws invalid_argument for a hyperparameter that a search would have to choose.
 */
export function hparamsOf(config: ExperimentConfig): ConfigObject {
	return plainHparams(config.hyperparameters, "hyperparameters");
}

/** Returns `environment.environment_variables` as a map, whichever of Determined's three forms it has. */
export function environmentVariablesOf(config: ExperimentConfig): Record<string, string> {
	return environmentVariables(config.environment?.environment_variables);
}

const topKeys: KnownKeys = {
	...keys("used", "name description labels entrypoint resources max_restarts hyperparameters data"),
	...keys("used", "checkpoint_storage environment searcher"),
	...keys("unused", "bind_mounts checkpoint_policy data_layer debug integrations internal log_policies"),
	...keys("unused", "min_checkpoint_period min_validation_period optimizations pbs perform_initial_validation"),
	...keys("unused", "preemption_timeout profiling project records_per_epoch reproducibility retention_policy"),
	...keys("unused", "scheduling_unit security slurm tensorboard_storage workspace"),
};

const resourceKeys: KnownKeys = {
	...keys("used", "slots_per_trial"),
	...keys("unused", "agent_label devices is_single_node max_slots native_parallel priority resource_pool"),
	...keys("unused", "shm_size slots weight"),
};

const environmentKeys: KnownKeys = {
	...keys("used", "environment_variables"),
	...keys("unused", "add_capabilities drop_capabilities force_pull_image image pbs pod_spec ports proxy_ports"),
	...keys("unused", "registry_auth slurm"),
};

const storageKeys: KnownKeys = keys("unused", "save_experiment_best save_trial_best save_trial_latest");
const sharedFsKeys: KnownKeys = {
	...storageKeys,
	...keys("used", "type host_path storage_path"),
	...keys("unused", "checkpoint_path container_path propagation tensorboard_path"),
};
const directoryKeys: KnownKeys = { ...storageKeys, ...keys("used", "type container_path") };

const searcherKeys: KnownKeys = {
	...keys("used", "name metric smaller_is_better max_length max_time time_metric"),
	...keys("unused", "source_checkpoint_uuid source_trial_id"),
};

function labels(value: ConfigValue | undefined): string[] {
	if (value === undefined || value === null) {
		return [];
	}
	if (!Array.isArray(value) || !value.every((label) => typeof label === "string" && label !== "")) {
		throw invalid(`labels must be a list of strings, not ${show(value)}; write it as "labels: [one, two]"`);
	}
	return value as string[];
}

function entrypoint(value: ConfigValue | undefined): string | string[] | undefined {
	if (value === undefined || value === null) {
		return undefined;
	}
	if (typeof value === "string" && value.trim() !== "") {
		return value;
	}
	if (Array.isArray(value) && value.every((part) => typeof part === "string") && value[0]) {
		return value as string[];
	}
	throw invalid(
		`entrypoint must be a command line or a list of strings that starts with the program, not ${show(value)}; ` +
			`write it as "entrypoint: npx tsx worker.ts" and put quotes around numbers`,
	);
}

function resources(value: ConfigValue | undefined, unused: string[]): ExperimentConfig["resources"] {
	const given = map(value, "resources") ?? {};
	checkKeys(given, "resources", resourceKeys, unused);
	const slots = wholeNumber(given.slots_per_trial, "resources.slots_per_trial", 1);
	return { ...given, slots_per_trial: slots ?? 1 };
}

const searchedTypes = ["int", "double", "log", "categorical"];

function plainHparams(hparams: ConfigObject, path: string): ConfigObject {
	const plain = Object.entries(hparams).map(([key, value]) => [key, plainHparam(value, join(path, key))]);
	return Object.fromEntries(plain);
}

function plainHparam(value: ConfigValue, path: string): ConfigValue {
	if (!isObject(value)) {
		return value;
	}
	if (value.type === "const") {
		const extra = Object.keys(value).find((key) => key !== "type" && key !== "val");
		if (!Object.hasOwn(value, "val") || extra !== undefined) {
			throw invalid(`${path} must be {type: const, val: …}, not ${show(value)}; give val and nothing else`);
		}
		return value.val as ConfigValue;
	}
	if (searchedTypes.includes(value.type as string)) {
		throw invalid(
			`${path} has the type ${value.type}, which a search chooses from, but Millrace runs one trial; ` +
				"give a plain value or {type: const, val: …}",
		);
	}
	return plainHparams(value, path);
}

function checkpointStorage(value: ConfigValue | undefined, unused: string[]): CheckpointStorageConfig | undefined {
	const storage = map(value, "checkpoint_storage");
	if (storage === undefined) {
		return undefined;
	}
	switch (storage.type) {
		case "shared_fs": {
			checkKeys(storage, "checkpoint_storage", sharedFsKeys, unused);
			absolutePath(storage.host_path, "checkpoint_storage.host_path");
			const below = text(storage, "storage_path", "checkpoint_storage");
			if (below?.split("/").includes("..")) {
				throw invalid(
					`checkpoint_storage.storage_path must lie below host_path, not at ${show(below)}; remove the ".."`,
				);
			}
			return storage as CheckpointStorageConfig;
		}
		case "directory":
			checkKeys(storage, "checkpoint_storage", directoryKeys, unused);
			absolutePath(storage.container_path, "checkpoint_storage.container_path");
			return storage as CheckpointStorageConfig;
		default:
			throw invalid(
				`checkpoint_storage.type must be shared_fs or directory, not ${show(storage.type)}; use ` +
					"{type: shared_fs, host_path: …} or {type: directory, container_path: …}",
			);
	}
}

function absolutePath(value: ConfigValue | undefined, path: string): void {
	if (typeof value !== "string" || !value.startsWith("/")) {
		throw invalid(`${path} must be an absolute path, not ${show(value)}; start it with "/"`);
	}
}

function environmentVariables(value: ConfigValue | undefined): Record<string, string> {
	const path = "environment.environment_variables";
	if (value === undefined || value === null) {
		return {};
	}
	if (Array.isArray(value)) {
		return Object.fromEntries(value.map((entry) => variable(entry, path)));
	}
	if (!isObject(value)) {
		throw invalid(`${path} must be a list or a map, not ${show(value)}; write it as "- NAME=value"`);
	}
	const parts = Object.values(value);
	if (parts.length > 0 && Object.keys(value).every((key) => ["cpu", "gpu", "cuda", "rocm"].includes(key))) {
		if (parts.every((part) => part === null || typeof part === "object")) {
			return environmentVariables(value.cpu);
		}
	}
	return Object.fromEntries(
		Object.entries(value).map(([name, content]) => {
			if (name === "" || name.includes("=") || content === null || typeof content === "object") {
				throw invalid(`${path}.${name} must be a string, not ${show(content)}; write it as "NAME: value"`);
			}
			return [name, String(content)];
		}),
	);
}

function variable(entry: ConfigValue, path: string): [string, string] {
	const at = typeof entry === "string" ? entry.indexOf("=") : -1;
	if (typeof entry !== "string" || at < 1) {
		throw invalid(`${path} has the entry ${show(entry)}; write it as "NAME=value"`);
	}
	return [entry.slice(0, at), entry.slice(at + 1)];
}

function searcher(value: ConfigValue | undefined, unused: string[]): void {
	const given = map(value, "searcher");
	if (given === undefined) {
		return;
	}
	if (given.name !== undefined && given.name !== "single") {
		throw invalid(
			`searcher.name must be single, not ${show(given.name)}, since Millrace runs one trial; ` +
				'write "name: single" or leave the searcher out',
		);
	}
	checkKeys(given, "searcher", searcherKeys, unused);
}

function text(object: ConfigObject, key: string, parent = ""): string | undefined {
	const value = object[key];
	if (value === undefined || value === null) {
		return undefined;
	}
	if (typeof value !== "string") {
		throw invalid(`${join(parent, key)} must be a string, not ${show(value)}; put it in quotes`);
	}
	return value;
}

function map(value: ConfigValue | undefined, path: string): ConfigObject | undefined {
	if (value === undefined || value === null) {
		return undefined;
	}
	if (!isObject(value)) {
		throw invalid(`${path} must be a map of keys, not ${show(value)}; write "key: value" lines below it`);
	}
	return value;
}

function wholeNumber(value: ConfigValue | undefined, path: string, least: number): number | undefined {
	if (value === undefined || value === null) {
		return undefined;
	}
	if (typeof value !== "number" || !Number.isInteger(value) || value < least || value > 2 ** 31 - 1) {
		const kind = least === 0 ? "a whole number, 0 or more" : "a positive integer";
		throw invalid(`${path} must be ${kind}, not ${show(value)}; give a number such as ${least + 1}`);
	}
	return value;
}

function assertJson(value: unknown, path: string, parents: unknown[]): asserts value is ConfigValue {
	if (value === null || typeof value === "string" || typeof value === "boolean" || Number.isFinite(value)) {
		return;
	}
	if (typeof value !== "object" || !(Array.isArray(value) || isObject(value))) {
		throw invalid(
			`${path || "the configuration"} must be a value of JSON, not ${show(value)}; give a finite number, a string, a list or a map`,
		);
	}
	if (parents.includes(value)) {
		throw invalid(`${path} contains itself; write the value out instead of an alias`);
	}
	for (const [key, item] of Object.entries(value)) {
		assertJson(item, join(path, key), [...parents, value]);
	}
}

function isObject(value: unknown): value is ConfigObject {
	if (typeof value !== "object" || value === null) {
		return false;
	}
	const prototype = Object.getPrototypeOf(value);
	return prototype === Object.prototype || prototype === null;
}

function join(path: string, key: string): string {
	return path === "" ? key : `${path}.${key}`;
}

function show(value: unknown): string {
	if (value === undefined) {
		return "nothing";
	}
	const json = typeof value === "number" || typeof value === "bigint" ? String(value) : JSON.stringify(value);
	return json === undefined ? `a ${typeof value}` : json.length > 60 ? `${json.slice(0, 57)}…` : json;
}

function invalid(message: string): MillraceError {
	return new MillraceError("invalid_argument", message);
}
