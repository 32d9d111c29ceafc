import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

/** Returns why a test that needs these programs, or root, is skipped; false if all is there. */
export function missingProgram(programs: readonly string[], { root = false } = {}): string | false {
	const missing = programs.filter((program) => !isOnPath(program));
	if (missing.length > 0) {
		return `${missing.join(", ")} not installed; test/install-engines.sh installs what the tests need`;
	}
	return root && process.getuid?.() !== 0 ? `${programs.join(", ")} need root here` : false;
}

function isOnPath(program: string): boolean {
	return (process.env.PATH ?? "").split(delimiter).some((folder) => {
		try {
			accessSync(join(folder, program), constants.X_OK);
			return true;
		} catch {
			return false;
		}
	});
}
