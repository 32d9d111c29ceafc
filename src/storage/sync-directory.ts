import { mkdir, open } from "node:fs/promises";
import { fileError } from "./file-error.js";

/** Makes a directory where it is missing, and the names in it durable. */
export async function syncDirectory(path: string): Promise<void> {
	try {
		await mkdir(path, { recursive: true });
		const handle = await open(path, "r");
		try {
			await handle.sync();
		} finally {
			await handle.close();
		}
	} catch (cause) {
		throw fileError(cause, `cannot sync ${path}`);
	}
}
