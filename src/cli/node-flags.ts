import type { Command } from "commander";
import { Option } from "commander";
import { MillraceError } from "../errors.js";
import { tlsVariables } from "../sdk/tls-options.js";
import { addTlsFlags, type TlsFlags, tlsOf } from "./tls-flags.js";

/** Which node of how many this is, and where its workers meet the others'. */
export interface NodeFlags extends TlsFlags {
	nnodes?: string;
	nodeRank?: string;
	node_rank?: string;
	server?: string;
	trial?: string;
}

/** The nodes of a launch. */
export interface Nodes {
	readonly nodeCount: number;
	/** From 0. */
	readonly nodeRank: number;
	/** The environment, with the server and the trial that the flags name, and how they speak to that server. */
	readonly env: NodeJS.ProcessEnv;
}

/** Adds the flags of a launch on several nodes, with torchrun's names where it has them. */
export function addNodeFlags(command: Command): Command {
	command
		.option("--nnodes <number>", "how many nodes run this command (default: 1)")
		.option("--node-rank <number>", "which of the nodes this is, from 0")
		.addOption(new Option("--node_rank <number>").hideHelp())
		.option("--server <host:port>", "the server of the workers (default: MILLRACE_SERVER, else the data directory's)")
		.option("--trial <id>", "the trial of the workers (default: MILLRACE_TRIAL_ID); see millrace trial create");
	return addTlsFlags(command);
}

/**
 * Reads the flags.
 *
 * Throws `invalid_argument`, saying what to give, for numbers that do not fit, for files of TLS that are no good, and for
 * several nodes without a rank, a server or a trial: nothing else brings their workers together.
 */
export function nodesOf(flags: NodeFlags, environment: NodeJS.ProcessEnv): Nodes {
	const nodeCount = wholeNumber("--nnodes", flags.nnodes, 1) ?? 1;
	const nodeRank = wholeNumber("--node-rank", flags.nodeRank ?? flags.node_rank, 0);
	const trial = wholeNumber("--trial", flags.trial, 1);
	if ((nodeRank ?? 0) >= nodeCount) {
		throw new MillraceError(
			"invalid_argument",
			`--node-rank is ${nodeRank}, but --nnodes is ${nodeCount}; the nodes count from 0`,
		);
	}
	const env = { ...environment };
	if (flags.server) {
		env.MILLRACE_SERVER = flags.server;
	}
	const tls = tlsOf(flags, environment);
	if (tls !== undefined) {
		Object.assign(env, tlsVariables(tls));
	}
	if (trial !== undefined && env.MILLRACE_TRIAL_ID !== String(trial)) {
		env.MILLRACE_TRIAL_ID = String(trial);
		// It counts the runs of the other trial.
		delete env.MILLRACE_TRIAL_RUN_ID;
	}
	const missing = [
		...(nodeRank === undefined ? ["--node-rank, which of the nodes this is"] : []),
		...(env.MILLRACE_SERVER ? [] : ["--server, the address of the server that all nodes reach"]),
		...(env.MILLRACE_TRIAL_ID ? [] : ["--trial, the trial of all nodes, from millrace trial create"]),
	];
	if (nodeCount > 1 && missing.length > 0) {
		throw new MillraceError("invalid_argument", `--nnodes is ${nodeCount}; give also ${missing.join("; ")}`);
	}
	return { nodeCount, nodeRank: nodeRank ?? 0, env };
}

function wholeNumber(name: string, text: string | undefined, least: number): number | undefined {
	if (text === undefined) {
		return undefined;
	}
	if (!/^\d{1,9}$/.test(text) || Number(text) < least) {
		throw new MillraceError("invalid_argument", `${name} must be a whole number of at least ${least}, not "${text}"`);
	}
	return Number(text);
}
