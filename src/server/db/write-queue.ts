import { MillraceError } from "../../errors.js";
import type { Connection, SqlValue, Transaction, WriteJob } from "./database.js";

interface Waiting {
	readonly job: WriteJob<unknown>;
	resolve(value: unknown): void;
	reject(error: unknown): void;
}

/** The most jobs in one transaction: it bounds what has to be done again when one of them throws. */
const largestGroup = 256;

/**
 * Runs write jobs in transactions. Jobs that arrive while a transaction is being synced share the next
 * one, so that the cost of syncing the disk is shared by all who wait for it.
 */
export class WriteQueue {
	readonly #connection: Connection;
	readonly #now: () => number;
	readonly #onCommit: () => void;
	readonly #waiting: Waiting[] = [];
	#working: Promise<void> | undefined;
	#closed = false;

	constructor(connection: Connection, now: () => number, onCommit: () => void) {
		this.#connection = connection;
		this.#now = now;
		this.#onCommit = onCommit;
	}

	/** Adds a job. The promise settles after the transaction of the job has ended. */
	add<T>(job: WriteJob<T>): Promise<T> {
		if (this.#closed) {
			return Promise.reject(new MillraceError("unavailable", "the server is stopping"));
		}
		return new Promise<T>((resolve, reject) => {
			this.#waiting.push({ job, resolve: (value) => resolve(value as T), reject });
			this.#working ??= this.#work();
		});
	}

	/** Refuses further jobs, and waits for those that were added. */
	async close(): Promise<void> {
		this.#closed = true;
		await this.#working;
	}

	async #work(): Promise<void> {
		// What is added in the same turn of the event loop belongs to the first group already.
		await Promise.resolve();
		while (this.#waiting.length > 0) {
			const group = this.#waiting.splice(0, largestGroup);
			if (!(await this.#together(group)) && !(await this.#sheltered(group))) {
				for (const waiting of group) {
					await this.#alone(waiting);
				}
			}
		}
		this.#working = undefined;
	}

	/** Runs a group as if none of its jobs threw. Returns false, and has done nothing, where one did. */
	async #together(group: readonly Waiting[]): Promise<boolean> {
		try {
			const results = await this.#transaction(async (tx) => {
				const values: unknown[] = [];
				for (const { job } of group) {
					values.push(await job(tx));
				}
				return values;
			});
			group.forEach((waiting, i) => {
				waiting.resolve(results[i]);
			});
			return true;
		} catch (error) {
			if (group.length === 1) {
				group[0]?.reject(error);
				return true;
			}
			return false;
		}
	}

	/** Runs a group with a savepoint before each job, to which the transaction returns where the job throws. */
	async #sheltered(group: readonly Waiting[]): Promise<boolean> {
		try {
			const outcomes = await this.#transaction(async (tx) => {
				const settled: (() => void)[] = [];
				for (const { job, resolve, reject } of group) {
					await tx.run("SAVEPOINT job");
					try {
						const result = await job(tx);
						settled.push(() => resolve(result));
					} catch (error) {
						await tx.run("ROLLBACK TO job");
						settled.push(() => reject(error));
					}
					await tx.run("RELEASE job");
				}
				return settled;
			});
			for (const settle of outcomes) {
				settle();
			}
			return true;
		} catch {
			// The transaction itself failed, so each job has to be tried by itself.
			return false;
		}
	}

	async #alone({ job, resolve, reject }: Waiting): Promise<void> {
		try {
			resolve(await this.#transaction(job));
		} catch (error) {
			reject(error);
		}
	}

	async #transaction<T>(job: WriteJob<T>): Promise<T> {
		const tx = new OpenTransaction(this.#connection, this.#now());
		try {
			await this.#connection.run("BEGIN IMMEDIATE");
			const result = await job(tx);
			tx.end();
			await this.#connection.run("COMMIT");
			this.#onCommit();
			return result;
		} catch (error) {
			tx.end();
			// After some errors, a full disk among them, SQLite has rolled back by itself and says so here.
			await this.#connection.run("ROLLBACK").catch(() => {});
			throw error;
		}
	}
}

class OpenTransaction implements Transaction {
	readonly now: number;
	#connection: Connection | undefined;

	constructor(connection: Connection, now: number) {
		this.#connection = connection;
		this.now = now;
	}

	end(): void {
		this.#connection = undefined;
	}

	async all<Row>(sql: string, ...parameters: SqlValue[]): Promise<Row[]> {
		return this.#open().all<Row>(sql, ...parameters);
	}

	async get<Row>(sql: string, ...parameters: SqlValue[]): Promise<Row | undefined> {
		return this.#open().get<Row>(sql, ...parameters);
	}

	async run(sql: string, ...parameters: SqlValue[]): Promise<number> {
		return this.#open().run(sql, ...parameters);
	}

	#open(): Connection {
		if (this.#connection === undefined) {
			throw new Error("a transaction was used after its end");
		}
		return this.#connection;
	}
}
