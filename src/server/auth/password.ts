import { createHash, randomBytes, scrypt, timingSafeEqual } from "node:crypto";
import { MillraceError } from "../../errors.js";

/** How hard it is to try a password: 32 MiB of memory, and about a tenth of a second. */
const cost = { N: 2 ** 15, r: 8, p: 1, maxmem: 64 * 1024 * 1024 };
const keyBytes = 32;
const saltBytes = 16;

/** How many passwords are tried at once, and how many may wait for it: each takes 32 MiB. */
const mostAtOnce = 2;
const mostWaiting = 1_000;

/** Throws `invalid_argument` if a password is too short or too long to be taken. */
export function assertPassword(field: string, password: string): void {
	if (password.length < 8 || password.length > 256) {
		throw new MillraceError("invalid_argument", `${field} has ${password.length} characters; take 8 to 256`);
	}
}

/**
 * Hashes a password, to be stored.
 *
 * Throws `resource_exhausted` if too many wait for it.
 */
export async function hashPassword(password: string): Promise<string> {
	const salt = randomBytes(saltBytes);
	const key = await deriveKey(password, salt);
	return `scrypt$${cost.N}$${cost.r}$${cost.p}$${salt.toString("base64")}$${key.toString("base64")}`;
}

/**
 * Tells whether a password is the one that was hashed. Without a hash it takes as long, and the answer is no.
 *
 * Throws `resource_exhausted` if too many wait for it.
 */
export async function isPassword(password: string, hash: string | undefined): Promise<boolean> {
	const [scheme, n, r, p, salt = "", key = ""] = (hash ?? absent).split("$");
	if (scheme !== "scrypt" || Number(n) !== cost.N || Number(r) !== cost.r || Number(p) !== cost.p) {
		throw new MillraceError("internal", "the hash of a password has a form that this program does not know");
	}
	const derived = await deriveKey(password, Buffer.from(salt, "base64"));
	return timingSafeEqual(derived, Buffer.from(key, "base64")) && hash !== undefined;
}

/** The hash that nobody's password has. */
const absent = `scrypt$${cost.N}$${cost.r}$${cost.p}$${Buffer.alloc(saltBytes).toString("base64")}$${Buffer.alloc(keyBytes).toString("base64")}`;

/** Determined's clients send this of a password, and never the password. Both lead to the same hash. */
function determinedHash(password: string): string {
	return password === "" ? "" : createHash("sha512").update(`GubPEmmotfiK9TMD6Zdw${password}`).digest("hex");
}

let atOnce = 0;
const waiting: (() => void)[] = [];

async function deriveKey(password: string, salt: Buffer): Promise<Buffer> {
	if (atOnce >= mostAtOnce) {
		if (waiting.length >= mostWaiting) {
			throw new MillraceError("resource_exhausted", "too many logins at once; try again in a minute");
		}
		await new Promise<void>((resolve) => waiting.push(resolve));
	} else {
		atOnce++;
	}
	try {
		return await new Promise((resolve, reject) => {
			scrypt(determinedHash(password), salt, keyBytes, cost, (error, key) => (error ? reject(error) : resolve(key)));
		});
	} finally {
		const next = waiting.shift();
		if (next === undefined) {
			atOnce--;
		} else {
			next();
		}
	}
}
