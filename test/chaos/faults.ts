import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { readServerAddress } from "../../src/data-directory.js";
import type { CutProxy } from "../support/cut-proxy.js";
import type { Leg } from "./leg.js";
import type { FaultKind, FaultPlan } from "./round-plan.js";
import type { ServerProcess } from "./server-process.js";

/** What the faults of a round can reach. */
export interface FaultTargets {
	readonly directory: string;
	/** None where the server is embedded. */
	readonly server: ServerProcess | undefined;
	/** The proxy of each rank; empty where no fault concerns the network. */
	readonly proxies: readonly CutProxy[];
	/** The leg that is under way. */
	leg(): Leg | undefined;
	/** Asks the trial to pause. */
	pause(): Promise<void>;
}

/** A fault that has happened. */
export interface HappenedFault {
	readonly kind: FaultKind;
	readonly step: string;
	readonly rank: number;
	readonly leg: number;
	/** The number of the run, where `millrace run` gave one; else 0. */
	readonly run: number;
	/** When, in milliseconds since 1970. */
	readonly time: number;
}

/** How often the round looks for a fault. */
const lookMs = 10;

/** Notes the faults of a round as they happen, and does those that the processes cannot do to themselves. */
export class FaultWatch {
	readonly happened: HappenedFault[] = [];
	/** The processes that are frozen. */
	readonly frozen = new Set<number>();
	readonly #plans: readonly FaultPlan[];
	readonly #targets: FaultTargets;
	readonly #stopped = new AbortController();
	readonly #later = new Set<() => void>();
	readonly #watching: Promise<void>;

	constructor(plans: readonly FaultPlan[], targets: FaultTargets) {
		this.#plans = plans;
		this.#targets = targets;
		this.#watching = this.#watch();
	}

	/** Ends what still lasts: wakes who is frozen, and lets everything through. */
	async stop(): Promise<void> {
		this.#stopped.abort();
		await this.#watching;
		for (const end of this.#later) {
			end();
		}
	}

	async #watch(): Promise<void> {
		for (const [index, plan] of this.#plans.entries()) {
			const file = join(this.#targets.directory, `fault-${index}`);
			let told: string | undefined;
			while (!told) {
				if (this.#stopped.signal.aborted) {
					return;
				}
				await delay(lookMs);
				// The process may still be writing it.
				told = existsSync(file) ? readFileSync(file, "utf8") : undefined;
			}
			const { pid, rank, leg, run, step, time } = JSON.parse(told);
			this.happened.push({ kind: plan.kind, step, rank, leg, run, time });
			await this.#act(plan, pid, rank);
			writeFileSync(`${file}.done`, "");
		}
	}

	async #act(plan: FaultPlan, pid: number, rank: number): Promise<void> {
		const { server, proxies, leg, pause, directory } = this.#targets;
		const owner = leg()?.processes;
		switch (plan.kind) {
			case "worker-freeze":
				this.frozen.add(pid);
				this.#after(plan.ms, () => this.#wake(pid));
				break;
			case "run-kill":
				owner?.[rank % owner.length]?.signal("SIGKILL");
				break;
			case "run-term":
				for (const process of owner ?? []) {
					process.signal("SIGTERM");
				}
				break;
			case "server-die":
			case "server-kill":
			case "server-term": {
				const signal = plan.kind === "server-term" ? "SIGTERM" : "SIGKILL";
				if (server === undefined) {
					signalTo(readServerAddress(join(directory, "data"))?.pid, signal);
				} else {
					server.awayMs = plan.ms;
					await (plan.kind === "server-die" ? undefined : server.interrupt(signal));
				}
				break;
			}
			case "net-cut":
				proxies[rank]?.cut("reset");
				this.#after(plan.ms, () => proxies[rank]?.resume());
				break;
			case "net-silence":
				proxies[rank]?.pause();
				this.#after(plan.ms, () => proxies[rank]?.resume());
				break;
			case "pause":
				await pause();
		}
	}

	#after(ms: number, end: () => void): void {
		const endOnce = () => {
			clearTimeout(timer);
			this.#later.delete(endOnce);
			end();
		};
		const timer = setTimeout(endOnce, ms);
		this.#later.add(endOnce);
	}

	#wake(pid: number): void {
		this.frozen.delete(pid);
		signalTo(pid, "SIGCONT");
	}
}

function signalTo(pid: number | undefined, signal: NodeJS.Signals): void {
	try {
		if (pid !== undefined) {
			process.kill(pid, signal);
		}
	} catch {
		// Somebody else has ended it meanwhile.
	}
}
