import { MillraceError } from "../errors.js";
import { shown } from "../sdk/shown.js";

/** Throws `invalid_argument` if a number of completed steps is none. */
export function assertStepsCompleted(stepsCompleted: unknown): asserts stepsCompleted is number {
	if (!Number.isInteger(stepsCompleted) || (stepsCompleted as number) < 0 || (stepsCompleted as number) >= 2 ** 31) {
		throw new MillraceError(
			"invalid_argument",
			`stepsCompleted is ${shown(stepsCompleted)}; it must be a whole number, not negative`,
		);
	}
}
