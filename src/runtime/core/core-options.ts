import { hparamsOf, parseExperimentConfig } from "../../experiment-config.js";
import { assertKnownOptions } from "../../sdk/assert-options.js";
import { type JsonObject, toJsonObject } from "../../sdk/json.js";
import { assertTls, type TlsOptions } from "../../sdk/tls-options.js";
import { DistributedContext } from "../distributed/distributed-context.js";
import type { JoinOptions } from "../join-run.js";
import { checkedPreemptMode, type PreemptMode } from "./preempt-context.js";

/** Options of `core.init`. */
export interface CoreOptions {
	/** The experiment's name, where this call makes the trial; default: the script's. */
	readonly name?: string;
	/** Hyperparameters, where this call makes the trial; a trial that exists has its own, which win. */
	readonly hparams?: JsonObject;
	/**
	 * More of the experiment's configuration, where this call makes the trial, with the keys of `millrace run`: data,
	 * description, labels, checkpoint_storage and so on.
	 */
	readonly config?: JsonObject;
	/** The server's `host:port`; default: MILLRACE_SERVER, the server of the data directory, or an embedded one. */
	readonly server?: string;
	/** Whether to speak TLS to the server, and by which certificates; default: what MILLRACE_TLS… say, as for `Client`. */
	readonly tls?: boolean | TlsOptions;
	/** Which worker this is; default: what the environment says. */
	readonly distributed?: DistributedContext;
	/** Who asks whether the run is to stop; default "WorkersAskChief". */
	readonly preemptMode?: PreemptMode;
}

/** The options with their defaults. */
export interface CoreSettings extends JoinOptions {
	readonly preemptMode: PreemptMode;
}

/**
 * Checks the options and fills in the defaults.
 *
 * Throws `invalid_argument` naming the option and its value.
 */
export function checkCoreOptions(options: CoreOptions): CoreSettings {
	assertKnownOptions(options, "core.init", [
		"name",
		"hparams",
		"config",
		"server",
		"tls",
		"distributed",
		"preemptMode",
	]);
	const { name, hparams, server, tls, distributed, preemptMode = "WorkersAskChief" } = options;
	assertTls(tls);
	const config = {
		...toJsonObject(options.config ?? {}, "config"),
		...(name !== undefined && { name }),
		...(hparams !== undefined && { hyperparameters: toJsonObject(hparams, "hparams") }),
	};
	return {
		config,
		hparams: hparamsOf(parseExperimentConfig(config).config),
		server,
		tls,
		distributed: distributed ?? DistributedContext.fromEnvironment(),
		preemptMode: checkedPreemptMode(preemptMode),
	};
}
