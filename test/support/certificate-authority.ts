import { generateKeyPairSync, randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { isIP } from "node:net";
import { join } from "node:path";
import forge from "node-forge";
import { tempDir } from "./temp-dir.js";

/** A certificate and its private key, as PEM texts. */
export interface KeyPair {
	readonly cert: string;
	readonly key: string;
}

/** What a certificate says. */
export interface CertificateContent {
	/** The common name. */
	readonly name: string;
	/** The hosts that it is for, as names or addresses. Default: none. */
	readonly hosts?: readonly string[];
	/** From when until when it is valid, in days from now. Default: from yesterday to tomorrow. */
	readonly days?: readonly [from: number, to: number];
}

const dayMs = 86_400_000;

/** A CA that issues real certificates. */
export class CertificateAuthority {
	readonly name: string;
	readonly #own: KeyPair;
	/** Making a key takes much longer than anything else here. */
	readonly #leafKey = newKey();

	constructor(name: string, days?: CertificateContent["days"]) {
		this.name = name;
		const key = newKey();
		this.#own = { key, cert: sign({ name, ...(days && { days }) }, key, { name, key }, authority) };
	}

	/** The CA's own certificate. */
	get cert(): string {
		return this.#own.cert;
	}

	/** Issues a certificate. All of one CA have the same key. */
	issue(content: CertificateContent): KeyPair {
		const key = this.#leafKey;
		const altNames = (content.hosts ?? []).map((host) =>
			isIP(host) === 0 ? { type: 2, value: host } : { type: 7, ip: host },
		);
		const extensions = altNames.length === 0 ? [] : [{ name: "subjectAltName", altNames }];
		return { key, cert: sign(content, key, { name: this.name, key: this.#own.key }, extensions) };
	}
}

/** Writes PEM texts to files in a directory of their own; returns their paths under the same names. */
export function pemFiles<K extends string>(texts: Record<K, string>): Record<K, string> {
	const directory = tempDir();
	const paths = Object.entries<string>(texts).map(([name, text]) => {
		const path = join(directory, `${name}.pem`);
		writeFileSync(path, text);
		return [name, path];
	});
	return Object.fromEntries(paths);
}

const authority = [
	{ name: "basicConstraints", cA: true, critical: true },
	{ name: "keyUsage", keyCertSign: true, critical: true },
];

function newKey(): string {
	return generateKeyPairSync("rsa", {
		modulusLength: 2048,
		privateKeyEncoding: { type: "pkcs1", format: "pem" },
		publicKeyEncoding: { type: "spki", format: "pem" },
	}).privateKey;
}

function sign(
	{ name, days = [-1, 1] }: CertificateContent,
	key: string,
	issuer: { readonly name: string; readonly key: string },
	extensions: object[],
): string {
	const { n, e } = forge.pki.privateKeyFromPem(key);
	const certificate = forge.pki.createCertificate();
	certificate.publicKey = forge.pki.setRsaPublicKey(n, e);
	// Its first bit would be that of a sign.
	certificate.serialNumber = `01${randomBytes(8).toString("hex")}`;
	certificate.validity.notBefore = new Date(Date.now() + days[0] * dayMs);
	certificate.validity.notAfter = new Date(Date.now() + days[1] * dayMs);
	certificate.setSubject([{ name: "commonName", value: name }]);
	certificate.setIssuer([{ name: "commonName", value: issuer.name }]);
	certificate.setExtensions(extensions);
	certificate.sign(forge.pki.privateKeyFromPem(issuer.key), forge.md.sha256.create());
	return forge.pki.certificateToPem(certificate);
}
