import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { messageOf } from "../../src/errors.js";
import { Client, type Trial } from "../../src/sdk/index.js";
import { type CutProxy, openCutProxy } from "../support/cut-proxy.js";
import { findProcesses } from "../support/find-processes.js";
import { waitUntil } from "../support/wait-until.js";
import { FaultWatch, type HappenedFault } from "./faults.js";
import { type Leg, startLeg } from "./leg.js";
import { readNotes } from "./notes.js";
import { type Notice, noticesOf } from "./notice.js";
import type { LegPlan, RoundPlan } from "./round-plan.js";
import { ServerProcess } from "./server-process.js";
import { verifyTrial } from "./verify.js";

/** How a round went. */
export interface RoundResult {
	/** What differs from an undisturbed run; empty if nothing does. */
	readonly problems: readonly string[];
	readonly happened: readonly HappenedFault[];
	/** How long the others took to notice that a worker was lost. */
	readonly notices: readonly Notice[];
	readonly legs: number;
	readonly ms: number;
}

/** How long processes may take to end after the trial. */
const endMs = 20_000;
/** More legs than any plan has reasons for. */
const mostLegs = 30;

/**
 * Plays a round in an empty directory, which keeps all logs: serves, starts leg after leg until the trial is
 * done, lets the faults happen, and verifies what is left. A round that takes longer than `limitMs` has hung,
 * which is a problem too. Nothing of it is left running.
 */
export async function playRound(plan: RoundPlan, directory: string, limitMs: number): Promise<RoundResult> {
	const start = Date.now();
	const round = new Round(plan, directory, start + limitMs);
	let problems: string[];
	try {
		problems = await round.play();
	} catch (error) {
		problems = [messageOf(error)];
	} finally {
		round.killAll();
	}
	const { happened } = round.faults ?? { happened: [] };
	return { problems, happened, notices: noticesOf(directory, happened), legs: round.legCount, ms: Date.now() - start };
}

class Round {
	faults: FaultWatch | undefined;
	legCount = 0;
	readonly #plan: RoundPlan;
	readonly #directory: string;
	readonly #data: string;
	readonly #deadline: number;
	readonly #env: Record<string, string>;
	#server: ServerProcess | undefined;
	#proxies: CutProxy[] = [];
	#leg: Leg | undefined;
	#trialId: number | undefined;

	constructor(plan: RoundPlan, directory: string, deadline: number) {
		this.#plan = plan;
		this.#directory = directory;
		this.#data = join(directory, "data");
		this.#deadline = deadline;
		this.#env = { CHAOS_DIRECTORY: directory, MILLRACE_LEASE: String(plan.leaseSeconds) };
		mkdirSync(directory, { recursive: true });
		writeFileSync(join(directory, "plan.json"), JSON.stringify(plan, null, "\t"));
	}

	async play(): Promise<string[]> {
		await this.#prepare();
		for (let trial: Trial | undefined; trial?.state !== "COMPLETED"; trial = await this.#ask((found) => found)) {
			if (trial?.state === "PAUSED") {
				await this.#ask((found) => found.activate());
			}
			if (this.legCount === mostLegs) {
				throw new Error(`the trial is ${trial?.state} after ${mostLegs} legs`);
			}
			await this.#playLeg();
		}
		await this.faults?.stop();
		await waitUntil("the end of all workers", () => this.#processes().length === (this.#server ? 1 : 0), endMs);
		this.#closeProxies();
		await this.#server?.stop();
		const problems = await verifyTrial(this.#plan, this.#data, this.#trialId ?? 0);
		return [...problems, ...wrongGathers(this.#directory)];
	}

	/** Leaves nothing running. */
	killAll(): void {
		this.faults?.stop();
		this.#closeProxies();
		void this.#server?.stop().catch(() => {});
		for (const { pid } of this.#processes()) {
			process.kill(pid, "SIGKILL");
		}
	}

	async #prepare(): Promise<void> {
		const { server, legs, faults } = this.#plan;
		if (server === "standalone") {
			this.#server = new ServerProcess(this.#directory, this.#env);
			await this.#server.start();
			this.#env.MILLRACE_SERVER = this.#server.address;
			if (faults.some(({ kind }) => kind.startsWith("net-"))) {
				const most = Math.max(...legs.map(({ workers }) => workers));
				for (let rank = 0; rank < most; rank++) {
					this.#proxies.push(await openCutProxy(this.#server.address));
				}
				this.#env.CHAOS_PROXIES = JSON.stringify(this.#proxies.map(({ address }) => address));
			}
		}
		this.#env.MILLRACE_DATA = this.#data;
		if (legs[0]?.kind !== "run") {
			this.#trialId = await this.#withClient(async (client) => {
				const experiment = await client.createExperiment({ name: "chaos", entrypoint: "true" });
				return (await client.createTrial(experiment.id, { maxRestarts: 50 })).id;
			});
		}
		this.faults = new FaultWatch(faults, {
			directory: this.#directory,
			server: this.#server,
			proxies: this.#proxies,
			leg: () => this.#leg,
			pause: () => this.#ask((trial) => trial.pause()),
		});
	}

	async #playLeg(): Promise<void> {
		const index = this.legCount++;
		const { legs } = this.#plan;
		const leg = legs[Math.min(index, legs.length - 1)] as LegPlan;
		const place = { directory: this.#directory, index, env: this.#env, trialId: this.#trialId };
		this.#leg = startLeg(leg, place);
		// The first leg of `run` makes the only trial of its server.
		this.#trialId ??= 1;
		const { processes } = this.#leg;
		const isOver = () => processes.every(({ isRunning, pid }) => !isRunning || this.faults?.frozen.has(pid));
		await waitUntil(`the end of leg ${index}`, isOver, this.#deadline - Date.now());
	}

	#ask<T>(question: (trial: Trial) => T | Promise<T>): Promise<T> {
		return this.#withClient(async (client) => question(await client.getTrial(this.#trialId ?? 0)));
	}

	async #withClient<T>(use: (client: Client) => Promise<T>): Promise<T> {
		const server = this.#server?.address;
		const client = new Client(server === undefined ? { dataDirectory: this.#data } : { server });
		try {
			return await use(client);
		} finally {
			await client.close();
		}
	}

	#processes() {
		return findProcesses(({ environment }) => environment.includes(`CHAOS_DIRECTORY=${this.#directory}\n`));
	}

	#closeProxies(): void {
		for (const proxy of this.#proxies.splice(0)) {
			proxy.close();
		}
	}
}

function wrongGathers(directory: string): string[] {
	return readNotes(directory).flatMap(({ what, text }) => (what === "wrong-gather" ? [`a gather gave ${text}`] : []));
}
