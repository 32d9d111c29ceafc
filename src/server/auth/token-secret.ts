import { createHash, randomBytes } from "node:crypto";

/** Makes the secret of a token: 256 bits at random, in a form that scanners for secrets can know. */
export function newSecret(): string {
	return `mlr_${randomBytes(32).toString("base64url")}`;
}

/** Returns what is stored of a secret. It needs no slow hash: nobody guesses 256 bits. */
export function digestOf(secret: string): Buffer {
	return createHash("sha256").update(secret).digest();
}

/** Returns the secret that a header `authorization` shows; undefined if it shows none, in whatever form. */
export function bearerOf(authorization: string | undefined): string | undefined {
	return /^bearer +(\S+) *$/i.exec(authorization ?? "")?.[1];
}
