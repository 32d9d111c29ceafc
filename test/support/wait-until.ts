import { setTimeout as delay } from "node:timers/promises";

/** Resolves with the first truthy value of `condition`; fails after `timeoutMs`, naming what it waited for. */
export async function waitUntil<T>(
	what: string,
	condition: () => T | Promise<T>,
	timeoutMs = 15_000,
): Promise<NonNullable<T>> {
	const deadline = Date.now() + timeoutMs;
	for (;;) {
		const value = await condition();
		if (value) {
			return value as NonNullable<T>;
		}
		if (Date.now() > deadline) {
			throw new Error(`waited ${timeoutMs} ms for ${what}`);
		}
		await delay(20);
	}
}
