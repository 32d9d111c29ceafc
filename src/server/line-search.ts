import { Worker } from "node:worker_threads";
import { MillraceError, messageOf } from "../errors.js";
import { threadEntry } from "../thread-entry.js";
import type { SearchRequest } from "./search-thread.js";

/** How long a regular expression may take for the lines of one page, or for the files of one checkpoint, in milliseconds. */
const patienceMs = 5_000;

/** Finds lines by their text, in any case. It is closed after use. */
export interface LineSearch {
	/** Tells of each line whether it is found. */
	find(lines: readonly string[]): Promise<boolean[]>;
	close(): void;
}

/**
 * Starts a search for a text, or for a regular expression of JavaScript. An empty text is in every line.
 *
 * Throws `invalid_argument` if it is no regular expression; finding throws it for one that takes seconds for a page:
 * some need longer for one line than the world has stood.
 */
export function startSearch(text: string, isRegex: boolean): LineSearch {
	if (isRegex && text !== "") {
		assertRegex(text);
		return new RegexSearch({ patterns: [text], flags: "i" }, tooSlow);
	}
	const wanted = text.toLowerCase();
	return {
		find: async (lines) => lines.map((line) => line.toLowerCase().includes(wanted)),
		close() {},
	};
}

function assertRegex(pattern: string): void {
	try {
		new RegExp(pattern, "i");
	} catch (cause) {
		throw new MillraceError(
			"invalid_argument",
			`search_text is no regular expression: ${messageOf(cause)}; mend it, or leave enable_regex out`,
			{ cause },
		);
	}
}

/** One thread for all searches, as each may be told to search for ever. It is there while somebody searches. */
let thread: Promise<Worker> | undefined;
let userCount = 0;
let last: Promise<unknown> = Promise.resolve();

/** Finds the texts that one of some regular expressions is found in, in a thread that is ended if it takes too long. */
export class RegexSearch implements LineSearch {
	readonly #asked: Omit<SearchRequest, "texts">;
	readonly #tooSlow: (count: number, seconds: number) => MillraceError;

	/** @param tooSlow Says, of so many texts, that the search took longer than these seconds. */
	constructor(asked: Omit<SearchRequest, "texts">, tooSlow: (count: number, seconds: number) => MillraceError) {
		this.#asked = asked;
		this.#tooSlow = tooSlow;
		userCount++;
	}

	find(lines: readonly string[]): Promise<boolean[]> {
		const slow = () => this.#tooSlow(lines.length, patienceMs / 1_000);
		const found = last.then(() => ask({ ...this.#asked, texts: lines }, slow));
		last = found.catch(() => {});
		return found;
	}

	close(): void {
		userCount--;
		if (userCount === 0) {
			dropThread();
		}
	}
}

function dropThread(): void {
	thread?.then(
		(dropped) => dropped.terminate(),
		() => {},
	);
	thread = undefined;
}

async function ask(request: SearchRequest, slow: () => MillraceError): Promise<boolean[]> {
	thread ??= startThread();
	const asked = await thread.catch((error) => {
		thread = undefined;
		throw error;
	});
	return new Promise((resolve, reject) => {
		const settle = (act: () => void) => {
			clearTimeout(timer);
			asked.off("message", onMessage).off("error", onError);
			act();
		};
		const timer = setTimeout(() => {
			dropThread();
			settle(() => reject(slow()));
		}, patienceMs);
		const onMessage = (found: boolean[]) => settle(() => resolve(found));
		const onError = (error: unknown) => {
			dropThread();
			settle(() => reject(error));
		};
		asked.on("message", onMessage).on("error", onError);
		asked.postMessage(request);
	});
}

function tooSlow(lineCount: number, seconds: number): MillraceError {
	return new MillraceError(
		"invalid_argument",
		`search_text took more than ${seconds} s for ${lineCount} lines; ` +
			"search for a simpler regular expression, without one repetition inside another",
	);
}

/** Starts the thread; resolves when it has said that it is there. */
function startThread(): Promise<Worker> {
	const started = new Worker(threadEntry("search-thread", import.meta.url), { execArgv: [] });
	started.unref();
	return new Promise((resolve, reject) => {
		started.once("message", () => resolve(started)).once("error", reject);
	});
}
