import picomatch from "picomatch";
import { MillraceError } from "../errors.js";

/** The glob that stands for all files. */
export const allFiles = "**/*";

const longest = 1_000;
const most = 1_000;

/**
 * Makes a test of paths out of globs, of which one has to fit: `*` and `?` within a name, `[a-z]`, `{a,b}`, and `**`
 * for any number of directories. Names that begin with a dot are no exception; all else stands for itself.
 *
 * Throws `invalid_argument` if a glob is empty, has "..", or is too long.
 */
export function globMatcher(field: string, globs: readonly string[]): (path: string) => boolean {
	if (globs.length > most) {
		throw new MillraceError("invalid_argument", `${field} has ${globs.length} globs; at most ${most} are allowed`);
	}
	const matchers = globs.map((glob, i) => {
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
		// Without the operators that Python's globs do not have: a negation would remove all but what it names.
		const literal = glob.replace(/[()|+]/g, "\\$&");
		return picomatch(literal, { dot: true, posix: true, nonegate: true, noextglob: true, strictSlashes: true });
	});
	return (path) => matchers.some((matches) => matches(path));
}
