/** The axis of a chart: from its least value to its largest. */
export interface ChartAxis {
	/** Where the labels stand, from 0 at the bottom to 1 at the top. */
	readonly ticks: readonly { readonly at: number; readonly label: string }[];
	/** Where a value stands, from 0 to 1. */
	place(value: number): number;
}

/** How many steps an axis has at most. */
const mostSteps = 5;

/** Makes an axis for finite values, with labels at round numbers. One value alone stands in the middle. */
export function axisOf(min: number, max: number): ChartAxis {
	// Halves, since the whole distance between the largest numbers is infinite.
	const half = max / 2 - min / 2;
	if (half === 0) {
		return { place: () => 0.5, ticks: [{ at: 0.5, label: label(min, 6) }] };
	}
	const place = (value: number) => (value / 2 - min / 2) / half;
	const step = roundStep((half / mostSteps) * 2);
	const [from, to] = [Math.ceil(min / step), Math.floor(max / step)];
	const isRound = step > 0 && Number.isSafeInteger(from) && Number.isSafeInteger(to);
	const values = isRound ? Array.from({ length: to - from + 1 }, (_, i) => (from + i) * step) : [min, max];
	// As many digits as tell one step from the next.
	const digits = isRound ? Math.ceil(Math.log10(Math.max(Math.abs(min), Math.abs(max)) / step)) + 1 : 17;
	return { place, ticks: values.map((value) => ({ at: place(value), label: label(value, digits) })) };
}

/** The least of 1, 2 and 5 times a power of ten that is not smaller. */
function roundStep(value: number): number {
	const power = 10 ** Math.floor(Math.log10(value));
	return ([1, 2, 5].find((factor) => factor * power >= value * (1 - 1e-9)) ?? 10) * power;
}

function label(value: number, digits: number): string {
	const rounded = Number(value.toPrecision(Math.max(1, Math.min(17, digits))));
	const size = Math.abs(rounded);
	return size !== 0 && (size < 1e-4 || size >= 1e7) ? rounded.toExponential().replace("e+", "e") : String(rounded);
}
