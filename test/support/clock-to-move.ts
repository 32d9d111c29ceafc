import { waitUntil } from "./wait-until.js";

/** Waits until a later time than the present one is recorded, which has no parts of a millisecond. */
export async function clockToMove(): Promise<void> {
	const now = Date.now();
	await waitUntil("the clock to move", () => Date.now() > now);
}
