/** Returns a number of whole seconds as its reader would say it: "2 s", "3 min 20 s", "2 h 5 min". */
export function durationText(seconds: number): string {
	if (seconds < 60) {
		return `${seconds} s`;
	}
	const minutes = Math.floor(seconds / 60);
	const hours = Math.floor(minutes / 60).toLocaleString("en-US");
	return minutes < 60 ? `${minutes} min ${seconds % 60} s` : `${hours} h ${minutes % 60} min`;
}
