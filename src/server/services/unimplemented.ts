import { MillraceError } from "../../errors.js";

/** Answers a method that is not built yet. */
export function unimplemented(): never {
	throw new MillraceError("unimplemented", "this method is not built yet");
}
