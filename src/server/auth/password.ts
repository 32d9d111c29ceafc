import { createHash, randomBytes, scrypt, timingSafeEqual } from "node:crypto";
import { MillraceError } from "../../errors.js";

/** How hard it is to try a password: 32 MiB of memory, and about a tenth of a second. */
const cost = { N: 2 ** 15, r: 8, p: 1, maxmem: 64 * 1024 * 1024 };
const keyBytes = 32;
const saltBytes = 16;

/** How many passwords are tried at once: each takes 32 MiB. */
const mostAtOnce = 2;
/** How many may wait for it, and how many of them may come from one place, which is not to keep all others out. */
const mostWaiting = 1_000;
const mostWaitingFromOne = 20;

/** The most characters of a password. */
export const longestPassword = 256;

/** Throws `invalid_argument` if a password is too short or too long to be taken. */
export function assertPassword(field: string, password: string): void {
	if (password.length < 8 || password.length > longestPassword) {
		throw new MillraceError(
			"invalid_argument",
			`${field} has ${password.length} characters; take 8 to ${longestPassword}`,
		);
	}
}

/**
 * Hashes a password, to be stored.
 *
 * Throws `resource_exhausted` if too many wait for it.
 */
export async function hashPassword(password: string): Promise<string> {
	const salt = randomBytes(saltBytes);
	const key = await deriveKey(password, salt, "");
	return `scrypt$${cost.N}$${cost.r}$${cost.p}$${salt.toString("base64")}$${key.toString("base64")}`;
}

/**
 * Tells whether a password is the one that was hashed. Without a hash it takes as long, and the answer is no.
 *
 * @param from Where it comes from; those that wait are served in turn of their places.
 *
 * Throws `resource_exhausted` if too many wait for it.
 */
export async function isPassword(password: string, hash: string | undefined, from: string): Promise<boolean> {
	const [scheme, n, r, p, salt = "", key = ""] = (hash ?? absent).split("$");
	if (scheme !== "scrypt" || Number(n) !== cost.N || Number(r) !== cost.r || Number(p) !== cost.p) {
		throw new MillraceError("internal", "the hash of a password has a form that this program does not know");
	}
	const derived = await deriveKey(password, Buffer.from(salt, "base64"), from);
	return timingSafeEqual(derived, Buffer.from(key, "base64")) && hash !== undefined;
}

/** The hash that nobody's password has. */
const absent = `scrypt$${cost.N}$${cost.r}$${cost.p}$${Buffer.alloc(saltBytes).toString("base64")}$${Buffer.alloc(keyBytes).toString("base64")}`;

/** Determined's clients send this of a password, and never the password. Both lead to the same hash. */
function determinedHash(password: string): string {
	return password === "" ? "" : createHash("sha512").update(`GubPEmmotfiK9TMD6Zdw${password}`).digest("hex");
}

let atOnce = 0;
let waitingCount = 0;
/** Those who wait, by the place that they come from. The place that was served last comes last. */
const waiting = new Map<string, (() => void)[]>();

async function deriveKey(password: string, salt: Buffer, from: string): Promise<Buffer> {
	if (atOnce >= mostAtOnce) {
		const queue = waiting.get(from) ?? [];
		if (waitingCount >= mostWaiting || queue.length >= mostWaitingFromOne) {
			throw new MillraceError("resource_exhausted", "too many logins at once; try again in a minute");
		}
		waitingCount++;
		waiting.set(from, queue);
		await new Promise<void>((resolve) => queue.push(resolve));
	} else {
		atOnce++;
	}
	try {
		return await new Promise((resolve, reject) => {
			scrypt(determinedHash(password), salt, keyBytes, cost, (error, key) => (error ? reject(error) : resolve(key)));
		});
	} finally {
		letNextIn();
	}
}

function letNextIn(): void {
	const [from, queue] = waiting.entries().next().value ?? [];
	if (from === undefined || queue === undefined) {
		atOnce--;
		return;
	}
	waitingCount--;
	waiting.delete(from);
	const next = queue.shift();
	if (queue.length > 0) {
		waiting.set(from, queue);
	}
	next?.();
}
