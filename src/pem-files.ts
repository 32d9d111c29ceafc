import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { MillraceError, messageOf } from "./errors.js";

/** A file of certificates or of a key, and the setting that names it, as an error calls it. */
export interface PemFile {
	readonly setting: string;
	readonly path: string;
}

/**
 * Reads a PEM file of one certificate or more, and returns its text.
 *
 * Throws `invalid_argument` with the setting and the path if it cannot be read, or holds no certificate.
 */
export function readCertificates(file: PemFile): string {
	const text = read(file);
	const blocks = text.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
	if (blocks.length === 0) {
		const other = /-----BEGIN ([A-Z ]+)-----/.exec(text)?.[1];
		const what = other === undefined ? "which is no PEM file" : `which holds no certificate, but: ${other}`;
		throw wrong(file, `${what}; give a file with -----BEGIN CERTIFICATE-----`);
	}
	for (const block of blocks) {
		parse(file, () => new X509Certificate(block), "certificate");
	}
	return text;
}

/**
 * Reads the PEM files of a certificate, which may have those of the CAs above it after it, and of its private key, and
 * returns their texts.
 *
 * Throws `invalid_argument` with the setting and the path if a file cannot be read, holds something else, or the key is
 * that of another certificate, or encrypted.
 */
export function readKeyPair(certFile: PemFile, keyFile: PemFile): { cert: string; key: string } {
	const cert = readCertificates(certFile);
	const key = read(keyFile);
	if (/-----BEGIN ENCRYPTED PRIVATE KEY-----|^Proc-Type: 4,ENCRYPTED/m.test(key)) {
		throw wrong(keyFile, "which is encrypted; decrypt it, and let only its owner read it");
	}
	if (!/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(key)) {
		throw wrong(keyFile, "which holds no private key; give a file with -----BEGIN PRIVATE KEY-----");
	}
	const own = new X509Certificate(cert);
	if (!own.checkPrivateKey(parse<KeyObject>(keyFile, () => createPrivateKey(key), "private key"))) {
		throw wrong(
			keyFile,
			`which is not the key of the certificate in ${certFile.path} (${certFile.setting}); give its own`,
		);
	}
	return { cert, key };
}

function read(file: PemFile): string {
	try {
		return readFileSync(file.path, "utf8");
	} catch (cause) {
		throw wrong(file, `which cannot be read: ${messageOf(cause)}`, cause);
	}
}

function parse<T>(file: PemFile, make: () => T, what: string): T {
	try {
		return make();
	} catch (cause) {
		throw wrong(file, `whose ${what} is malformed: ${messageOf(cause)}`, cause);
	}
}

function wrong({ setting, path }: PemFile, what: string, cause?: unknown): MillraceError {
	return new MillraceError("invalid_argument", `${setting} is ${path}, ${what}`, { cause });
}
