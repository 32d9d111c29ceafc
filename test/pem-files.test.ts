import assert from "node:assert/strict";
import { createPrivateKey } from "node:crypto";
import { describe, it } from "node:test";
import { readCertificates, readKeyPair } from "../src/pem-files.js";
import { CertificateAuthority, pemFiles } from "./support/certificate-authority.js";
import { errorWith } from "./support/error-with.js";
import { tempDir } from "./support/temp-dir.js";

const ca = new CertificateAuthority("Test CA");
const other = new CertificateAuthority("Other CA");
const pair = ca.issue({ name: "gpu-box" });
const encrypted = createPrivateKey(pair.key).export({
	type: "pkcs8",
	format: "pem",
	cipher: "aes-256-cbc",
	passphrase: "x",
});
const legacy = createPrivateKey(pair.key).export({
	type: "pkcs1",
	format: "pem",
	cipher: "aes-256-cbc",
	passphrase: "x",
});
const files = pemFiles({
	...pair,
	chain: `${pair.cert}\nwords between\n${ca.cert}`,
	otherKey: other.issue({ name: "x" }).key,
	encrypted: String(encrypted),
	legacy: String(legacy),
	words: "no certificate at all",
	broken: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
	brokenKey: "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
});

const named = (path: string, setting = "--tls-ca") => ({ setting, path });

describe("readCertificates", () => {
	it("returns the text of a file with one certificate, or with several", () => {
		assert.equal(readCertificates(named(files.cert)), pair.cert);
		assert.match(readCertificates(named(files.chain)), /words between/);
	});

	for (const [what, path, message] of [
		["is not there", "/nowhere/ca.pem", /^--tls-ca is \/nowhere\/ca\.pem, which cannot be read: ENOENT/],
		["is a directory", tempDir(), /^--tls-ca is \/\S+, which cannot be read: EISDIR/],
		["is no PEM file", files.words, /words\.pem, which is no PEM file; give a file with -----BEGIN CERTIFICATE-----$/],
		[
			"holds a key",
			files.key,
			/key\.pem, which holds no certificate, but: RSA PRIVATE KEY; give a file with -----BEGIN CERTIFICATE-----$/,
		],
		["holds a broken one", files.broken, /broken\.pem, whose certificate is malformed: ./],
	] as const) {
		it(`throws invalid_argument, with the setting and the path, for a file that ${what}`, () => {
			assert.throws(() => readCertificates(named(path)), errorWith("invalid_argument", message));
		});
	}
});

describe("readKeyPair", () => {
	const read = (key: string, cert = files.cert) => readKeyPair(named(cert, "--tls-cert"), named(key, "--tls-key"));

	it("returns both texts", () => {
		assert.deepEqual(read(files.key), pair);
		assert.equal(read(files.key, files.chain).key, pair.key);
	});

	for (const [what, path, message] of [
		["is not there", "/nowhere/key.pem", /^--tls-key is \/nowhere\/key\.pem, which cannot be read: ENOENT/],
		["holds a certificate", files.cert, /^--tls-key is \/\S+cert\.pem, which holds no private key; give/],
		["is encrypted", files.encrypted, /encrypted\.pem, which is encrypted; decrypt it/],
		["is encrypted in the old way", files.legacy, /legacy\.pem, which is encrypted; decrypt it/],
		["holds a broken one", files.brokenKey, /brokenKey\.pem, whose private key is malformed: ./],
		[
			"holds that of another certificate",
			files.otherKey,
			/^--tls-key is \S+otherKey\.pem, which is not the key of the certificate in \S+cert\.pem \(--tls-cert\); give its own$/,
		],
	] as const) {
		it(`throws invalid_argument, with the setting and the path, for a key file that ${what}`, () => {
			assert.throws(() => read(path), errorWith("invalid_argument", message));
		});
	}
});
