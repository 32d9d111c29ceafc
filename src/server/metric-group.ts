import { MillraceError } from "../errors.js";

/** Throws `invalid_argument` if a metric group is empty or has a dot, which separates it from a metric's name. */
export function assertMetricGroup(group: string): void {
	if (group === "") {
		throw new MillraceError("invalid_argument", "metric group cannot be empty");
	}
	if (group.includes(".")) {
		throw new MillraceError("invalid_argument", "metric group cannot contain '.'");
	}
	if (group.includes("\0")) {
		throw new MillraceError("invalid_argument", "metric group cannot contain a NUL character");
	}
}
