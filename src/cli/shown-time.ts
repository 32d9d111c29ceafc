import { count, formatDuration } from "../launcher/progress-line.js";

/** Writes a time as a clock on the reader's wall shows it: "2026-11-28 16:40"; "" for none. */
export function localTime(time: Date | null): string {
	if (time === null) {
		return "";
	}
	const [month, day, hour, minute] = [time.getMonth() + 1, time.getDate(), time.getHours(), time.getMinutes()].map(
		(part) => String(part).padStart(2, "0"),
	);
	return `${String(time.getFullYear()).padStart(4, "0")}-${month}-${day} ${hour}:${minute}`;
}

/** Writes how long something took, as in "2 h 5 min"; "" while it has not ended. */
export function took({
	creationTime,
	endTime,
}: {
	readonly creationTime: Date;
	readonly endTime: Date | null;
}): string {
	return endTime === null ? "" : formatDuration(Math.max(0, endTime.getTime() - creationTime.getTime()) / 1_000);
}

/** Writes how long ago a time was, in its largest unit: "5 min". */
export function age(time: Date, now: number): string {
	const seconds = Math.max(0, now - time.getTime()) / 1_000;
	const units = [
		[86_400, "d"],
		[3_600, "h"],
		[60, "min"],
	] as const;
	const [size, name] = units.find(([size]) => seconds >= size) ?? [1, "s"];
	return `${count(Math.floor(seconds / size))} ${name}`;
}
