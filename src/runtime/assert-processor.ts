import { MillraceError } from "../errors.js";

/** Throws `invalid_argument` if a value is not a class with the method processBatch. */
export function assertProcessor(value: unknown): void {
	if (typeof value === "object" && value !== null) {
		const name = value.constructor?.name || "Object";
		throw new MillraceError(
			"invalid_argument",
			`the processor is an object of the class ${name}; give a class itself, as in batchProcess(Processor, data)`,
		);
	}
	if (typeof value !== "function" || typeof value.prototype !== "object" || value.prototype === null) {
		const given = typeof value === "function" ? "a function" : String(value);
		throw new MillraceError("invalid_argument", `the processor is ${given}; give a class that extends BatchProcessor`);
	}
	if (typeof value.prototype.processBatch !== "function" && !mayHaveField(value)) {
		throw new MillraceError("invalid_argument", `${value.name || "the processor"} has no method processBatch; add one`);
	}
}

/** Tells whether a class may set processBatch as a field: only an object of it would show. */
function mayHaveField(value: unknown): boolean {
	for (let current = value; typeof current === "function"; current = Object.getPrototypeOf(current)) {
		if (/\bprocessBatch\b/.test(Function.prototype.toString.call(current))) {
			return true;
		}
	}
	return false;
}
