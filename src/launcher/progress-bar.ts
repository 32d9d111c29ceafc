/** The least width that a bar is worth. */
export const narrowestBar = 4;

const widestBar = 24;

/** Draws a part, from 0 to 1, as a bar of at most `room` characters. */
export function progressBar(fraction: number, room: number, isUnicode = true): string {
	const width = Math.min(room, widestBar);
	const full = Math.round(fraction * width);
	const [done, left] = isUnicode ? ["█", "░"] : ["#", "-"];
	return `${done.repeat(full)}${left.repeat(width - full)}`;
}
