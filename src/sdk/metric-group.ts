import { MillraceError } from "../errors.js";

/** Throws `invalid_argument` if the name of a metric group is empty or has a dot. */
export function assertMetricGroup(group: string): void {
	if (typeof group !== "string") {
		const given = Array.isArray(group) ? "an array" : typeof group === "object" && group ? "an object" : String(group);
		throw new MillraceError("invalid_argument", `the metric group is ${given}; it must be a text, such as "inference"`);
	}
	if (group === "") {
		throw new MillraceError("invalid_argument", 'the metric group must not be empty; name one, such as "inference"');
	}
	if (group.includes(".")) {
		throw new MillraceError("invalid_argument", `the metric group ${JSON.stringify(group)} must not have a dot`);
	}
}
