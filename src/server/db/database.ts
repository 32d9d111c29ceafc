import { mkdirSync, statfsSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Database as SqliteDatabase, Statement } from "sqlite3";
import { MillraceError } from "../../errors.js";
import { CommitNews } from "./commit-news.js";
import { fullDisk, isFullDisk } from "./full-disk.js";
import { WriteQueue } from "./write-queue.js";

/** A value of a SQL parameter. Integers above 2^31 pass as SQLite's reals, which INTEGER columns take losslessly. */
export type SqlValue = string | number | boolean | Uint8Array | null;

/** Reads rows. */
export interface Reader {
	/** Returns all rows of a statement. */
	all<Row>(sql: string, ...parameters: SqlValue[]): Promise<Row[]>;
	/** Returns the first row of a statement. */
	get<Row>(sql: string, ...parameters: SqlValue[]): Promise<Row | undefined>;
}

/** The inside of one transaction, which sees its own writes. */
export interface Transaction extends Reader {
	/** When the transaction began, in milliseconds since 1970. */
	readonly now: number;
	/** Executes a statement and returns the number of rows that it changed. */
	run(sql: string, ...parameters: SqlValue[]): Promise<number>;
}

/** A job of a transaction. It may run twice, the first time in vain, so it must change nothing but rows. */
export type WriteJob<T> = (tx: Transaction) => Promise<T>;

/** What a database needs from outside. */
export interface DatabaseOptions {
	/** Tells the time in milliseconds since 1970. Default: `Date.now`. */
	readonly now?: (() => number) | undefined;
	/** Called when the disk is full: once, and again only after a minute without it. */
	readonly onFullDisk?: ((message: string) => void) | undefined;
}

/** One SQLite file, written through one connection and read through others. */
export class Database implements Reader {
	/** Tells of what is committed. It is closed before the database is, so that those who follow end their calls. */
	readonly news = new CommitNews();
	readonly #writer: Connection;
	readonly #readers: readonly Connection[];
	readonly #queue: WriteQueue;
	readonly #now: () => number;
	readonly #onFullDisk: (message: string) => void;
	#lastFull = Number.NEGATIVE_INFINITY;
	#turn = 0;

	private constructor(writer: Connection, readers: readonly Connection[], options: DatabaseOptions) {
		const { now = Date.now, onFullDisk = () => {} } = options;
		this.#writer = writer;
		this.#readers = readers;
		this.#now = now;
		this.#onFullDisk = onFullDisk;
		this.#queue = new WriteQueue(writer, now, () => this.news.tell());
	}

	/**
	 * Opens the database of a data directory, which is created where it is missing.
	 *
	 * Throws `failed_precondition` if the package sqlite3 is missing or the directory is on a network
	 * file system, `unavailable` if its disk is full.
	 */
	static async open(directory: string, options: DatabaseOptions = {}): Promise<Database> {
		mkdirSync(directory, { recursive: true });
		assertLocal(directory, statfsSync(directory).type);
		const file = join(directory, "millrace.db");
		const opened: Connection[] = [];
		try {
			for (let i = 0; i < 3; i++) {
				const connection = await Connection.open(file);
				opened.push(connection);
				await connection.execute(
					"PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON",
				);
			}
		} catch (error) {
			await Promise.all(opened.map((connection) => connection.close()));
			throw error;
		}
		const [writer, ...readers] = opened as [Connection, ...Connection[]];
		return new Database(writer, readers, options);
	}

	/**
	 * Runs a job in a transaction, together with the other jobs that wait. The promise settles after the
	 * commit. A job that throws leaves nothing behind, and the others are committed all the same.
	 *
	 * Throws `unavailable` if the disk is full.
	 */
	async write<T>(job: WriteJob<T>): Promise<T> {
		try {
			return await this.#queue.add(job);
		} catch (error) {
			if (isFullDisk(error)) {
				this.#tellFullDisk(error.message);
			}
			throw error;
		}
	}

	all<Row>(sql: string, ...parameters: SqlValue[]): Promise<Row[]> {
		return this.#reader().all<Row>(sql, ...parameters);
	}

	async get<Row>(sql: string, ...parameters: SqlValue[]): Promise<Row | undefined> {
		return (await this.all<Row>(sql, ...parameters))[0];
	}

	/** Waits for the writes that were begun, moves the write-ahead log into the file, and closes it. */
	async close(): Promise<void> {
		this.news.close();
		await this.#queue.close();
		await Promise.all(this.#readers.map((reader) => reader.close()));
		// On a full disk the log stays, and the next server reads it.
		await this.#writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").catch(() => {});
		await this.#writer.close();
	}

	/** Many callers repeat their calls while the disk is full; that is told once. */
	#tellFullDisk(message: string): void {
		const now = this.#now();
		if (now - this.#lastFull > quietMs) {
			this.#onFullDisk(message);
		}
		this.#lastFull = now;
	}

	#reader(): Connection {
		this.#turn = (this.#turn + 1) % this.#readers.length;
		return this.#readers[this.#turn] as Connection;
	}
}

/** For how long nothing is said of a disk that is still full, or again. */
const quietMs = 60_000;

/** One connection to a SQLite file, with its prepared statements. */
export class Connection implements Reader {
	readonly #sqlite: SqliteDatabase;
	readonly #statements = new Map<string, Promise<Statement>>();

	readonly #directory: string;

	private constructor(sqlite: SqliteDatabase, directory: string) {
		this.#sqlite = sqlite;
		this.#directory = directory;
		// One statement at a time, or those that wait for the connection's mutex would block libuv's threads.
		sqlite.serialize();
	}

	/** Opens a file, which is created where it is missing. */
	static async open(file: string): Promise<Connection> {
		const sqlite3 = await loadSqlite();
		const directory = dirname(file);
		const sqlite = await new Promise<SqliteDatabase>((resolve, reject) => {
			const database: SqliteDatabase = new sqlite3.Database(file, (error) =>
				error ? reject(fullDisk(error, directory) ?? error) : resolve(database),
			);
		});
		return new Connection(sqlite, directory);
	}

	// Only `all` is used to read: npm's `get` leaves its statement, and with it a read transaction, open.
	async all<Row>(sql: string, ...parameters: SqlValue[]): Promise<Row[]> {
		const statement = await this.#prepared(sql);
		return new Promise((resolve, reject) => {
			statement.all(parameters, (error: Error | null, rows: Row[]) =>
				error ? reject(this.#failure(error)) : resolve(rows),
			);
		});
	}

	async get<Row>(sql: string, ...parameters: SqlValue[]): Promise<Row | undefined> {
		return (await this.all<Row>(sql, ...parameters))[0];
	}

	/** Executes a statement and returns the number of rows that it changed. */
	async run(sql: string, ...parameters: SqlValue[]): Promise<number> {
		const statement = await this.#prepared(sql);
		const failure = (error: Error) => this.#failure(error);
		return new Promise((resolve, reject) => {
			statement.run(parameters, function (error: Error | null) {
				error ? reject(failure(error)) : resolve(this.changes);
			});
		});
	}

	/** Executes several statements, separated by semicolons, without parameters. */
	execute(sql: string): Promise<void> {
		return new Promise((resolve, reject) => {
			this.#sqlite.exec(sql, (error) => (error ? reject(this.#failure(error)) : resolve()));
		});
	}

	/** Closes the connection. A transaction that is open is rolled back. */
	async close(): Promise<void> {
		const statements = await Promise.allSettled(this.#statements.values());
		for (const statement of statements) {
			if (statement.status === "fulfilled") {
				statement.value.finalize();
			}
		}
		await new Promise<void>((resolve, reject) => {
			this.#sqlite.close((error) => (error ? reject(this.#failure(error)) : resolve()));
		});
	}

	#failure(error: Error): Error {
		return fullDisk(error, this.#directory) ?? error;
	}

	#prepared(sql: string): Promise<Statement> {
		let statement = this.#statements.get(sql);
		if (statement === undefined) {
			statement = new Promise((resolve, reject) => {
				const made: Statement = this.#sqlite.prepare(sql, (error) =>
					error ? reject(this.#failure(error)) : resolve(made),
				);
			});
			this.#statements.set(sql, statement);
			// One that failed, perhaps for a table that is not there yet, is prepared anew the next time.
			statement.catch(() => this.#statements.delete(sql));
		}
		return statement;
	}
}

/** Tells whether an error says that another connection holds the lock of a SQLite file. */
export function isBusy(error: unknown): boolean {
	return error instanceof Error && "code" in error && error.code === "SQLITE_BUSY";
}

/**
 * Refuses a network file system, by the number that statfs gives it: shared memory, which the write-ahead
 * log needs, does not reach over a network.
 */
export function assertLocal(directory: string, fileSystemType: number): void {
	const name = networkFileSystems.get(fileSystemType >>> 0);
	if (name !== undefined) {
		throw new MillraceError(
			"failed_precondition",
			`the data directory ${directory} is on a network file system (${name}), which SQLite cannot use safely; choose a local directory with --data or MILLRACE_DATA`,
		);
	}
}

const networkFileSystems = new Map([
	[0x6969, "NFS"],
	[0x517b, "SMB"],
	[0xfe534d42, "SMB"],
	[0xff534d42, "CIFS"],
]);

async function loadSqlite() {
	try {
		return (await import("sqlite3")).default;
	} catch (cause) {
		throw new MillraceError(
			"failed_precondition",
			"the Millrace server needs the package sqlite3: npm install sqlite3",
			{ cause },
		);
	}
}
