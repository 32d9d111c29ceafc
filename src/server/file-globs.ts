import picomatch from "picomatch";
import { MillraceError } from "../errors.js";
import { type LineSearch, RegexSearch } from "./line-search.js";

/** The glob that stands for all files. */
export const allFiles = "**/*";

const longest = 1_000;
const most = 1_000;

/** Throws `invalid_argument` if a glob is empty, has "..", or is too long. */
export function assertGlobs(field: string, globs: readonly string[]): void {
	if (globs.length > most) {
		throw new MillraceError("invalid_argument", `${field} has ${globs.length} globs; at most ${most} are allowed`);
	}
	for (const [i, glob] of globs.entries()) {
		if (glob === "") {
			throw new MillraceError("invalid_argument", `${field}[${i}]: cannot have empty string glob; write **/* for all`);
		}
		if (glob.includes("..")) {
			throw new MillraceError("invalid_argument", `${field}[${i}]: glob '${glob}' cannot contain '..'`);
		}
		if (glob.length > longest) {
			const problem = `has ${glob.length} characters; at most ${longest} are allowed`;
			throw new MillraceError("invalid_argument", `${field}[${i}] ${problem}`);
		}
	}
}

/**
 * Starts a search for paths by globs, of which one has to fit: `*` and `?` within a name, `[a-z]`, `{a,b}`, and `**`
 * for any number of directories. Names that begin with a dot are no exception; all else stands for itself.
 *
 * Finding throws `invalid_argument` for globs that take seconds: with many stars in one name there are more ways to fit
 * it than anybody has time for.
 */
export function startGlobSearch(field: string, globs: readonly string[]): LineSearch {
	const patterns = globs.flatMap((glob) => {
		// Without the operators that Python's globs do not have: a negation would remove all but what it names.
		const literal = glob.replace(/[()|+]/g, "\\$&");
		const options = { dot: true, posix: true, nonegate: true, noextglob: true, strictSlashes: true };
		const itself = `^${glob.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&")}$`;
		return [itself, picomatch.makeRe(literal, options).source];
	});
	return new RegexSearch({ patterns, flags: "" }, (count, seconds) => {
		const problem = `took more than ${seconds} s for ${count} paths; use globs with fewer wildcards`;
		return new MillraceError("invalid_argument", `${field} ${problem}`);
	});
}
