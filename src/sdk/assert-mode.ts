import { MillraceError } from "../errors.js";
import type { TransferMode } from "./download-files.js";
import { shown } from "./shown.js";

/** Throws `invalid_argument` if a value is no way for files to take. */
export function assertMode(mode: TransferMode): void {
	if (!["auto", "direct", "master"].includes(mode)) {
		throw new MillraceError("invalid_argument", `mode is ${shown(mode)}; it must be "auto", "direct" or "master"`);
	}
}
