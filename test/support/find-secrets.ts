import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";

/** A secret, and how a report calls it. */
export type Secrets = Readonly<Record<string, string>>;

/** Something that may hold one: its name, and all that is in it. */
export interface Holder {
	readonly name: string;
	readonly content: Buffer;
}

/** Makes holders of all files below a directory. */
export function filesBelow(directory: string): Holder[] {
	return readdirSync(directory, { recursive: true, encoding: "utf8" })
		.map((path) => join(directory, path))
		.filter((path) => statSync(path).isFile())
		.map((path) => ({ name: path, content: readFileSync(path) }));
}

/** Tells which holders hold which secrets: as they are, in base64 at whatever place of a longer text, or in hex. */
export function findSecrets(holders: readonly Holder[], secrets: Secrets): string[] {
	return holders.flatMap(({ name, content }) => {
		const lowerCase = Buffer.from(content.toString("latin1").toLowerCase(), "latin1");
		return Object.entries(secrets).flatMap(([secret, value]) => {
			const forms = formsOf(value).filter(({ form, isHex }) => (isHex ? lowerCase : content).includes(form));
			return forms.map(({ what }) => `${name} has ${secret} ${what}`);
		});
	});
}

function formsOf(secret: string): { what: string; form: string; isHex: boolean }[] {
	const bytes = Buffer.from(secret);
	const encoded = [0, 1, 2].flatMap((offset) => {
		// What comes before and after it changes the first and the last characters.
		const text = Buffer.concat([Buffer.alloc(offset), bytes])
			.toString("base64")
			.replace(/=+$/, "");
		const inner = text.slice(offset === 0 ? 0 : offset + 1, -1);
		return [inner, inner.replaceAll("+", "-").replaceAll("/", "_")];
	});
	return [
		{ what: "as it is", form: secret, isHex: false },
		{ what: "in JSON", form: JSON.stringify(secret).slice(1, -1), isHex: false },
		{ what: "in a URL", form: encodeURIComponent(secret), isHex: false },
		...encoded.map((form) => ({ what: "in base64", form, isHex: false })),
		{ what: "in hex", form: bytes.toString("hex"), isHex: true },
	];
}
