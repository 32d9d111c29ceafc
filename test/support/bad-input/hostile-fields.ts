import type { DescField } from "@bufbuild/protobuf";
import { ScalarType } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import type { FuzzWorld } from "./fuzz-world.js";

/** A field that no good client sends: what it is, and its bytes with its tag. */
export interface HostileField {
	readonly label: string;
	/** Made when it is sent, as some are large. */
	bytes(): Uint8Array;
}

const mebibyte = 1024 * 1024;

const texts: readonly (readonly [label: string, text: () => string | Uint8Array])[] = [
	["empty", () => ""],
	["blank", () => "  \t\n"],
	["a NUL", () => "\0"],
	["a NUL within", () => "a\0b"],
	["a lone surrogate in UTF-8", () => Buffer.from([0x61, 0xed, 0xa0, 0x80, 0x62])],
	["bytes that are no UTF-8", () => Buffer.from([0xff, 0xfe, 0xc0])],
	["a path upwards", () => "../../../../outside.txt"],
	["an absolute path", () => "/outside.txt"],
	["emoji", () => "👩‍👩‍👧🏽\u202e"],
	["1 MiB", () => "x".repeat(mebibyte)],
	["100 KB of accents", () => "é".repeat(50_000)],
	["a quote", () => `' OR 1=1; --"`],
	["wildcards", () => "%_*?[\\"],
	["a pattern without end", () => "(a+)+$"],
	["a pattern that is none", () => "("],
	["__proto__", () => "__proto__"],
	["a dot", () => "a.b"],
	["a number", () => "-1"],
	["a huge number", () => "99999999999999999999"],
	["JSON null", () => "null"],
	["JSON of an array", () => "[1,2]"],
	["JSON beyond a double", () => '{"loss":1e999,"deep":{"a":-1e999}}'],
	["JSON with a lone surrogate", () => '{"loss\\ud800":"\\udc00","\\u0000":"\\u0000"}'],
	["JSON with __proto__", () => '{"__proto__":{"a":1},"constructor":2}'],
	["JSON that is deep", () => `${"[".repeat(100_000)}${"]".repeat(100_000)}`],
	["JSON objects that are deep", () => `${'{"a":'.repeat(5_000)}1${"}".repeat(5_000)}`],
];

const integers: readonly bigint[] = [0n, -1n, 1n, 2n ** 31n - 1n, -(2n ** 31n), 1_000_000n];
const longs: readonly bigint[] = [...integers, 2n ** 53n, 2n ** 63n - 1n, -(2n ** 63n)];
const doubles = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -1, -0, 1e308, 2, 5e-324];

/** All hostile contents of a field. */
export function hostileFields(field: DescField, world: FuzzWorld): HostileField[] {
	const { number } = field;
	const made = (label: string, write: (writer: BinaryWriter) => BinaryWriter): HostileField => ({
		label,
		bytes: () => write(new BinaryWriter()).finish(),
	});
	const bytes = (label: string, content: () => string | Uint8Array) =>
		made(label, (writer) => writer.tag(number, WireType.LengthDelimited).bytes(Buffer.from(content())));
	const varint = (value: bigint) =>
		made(String(value), (writer) => writer.tag(number, WireType.Varint).int64(value.toString()));
	const malformed = [
		made("a wrong wire type", (writer) =>
			isDelimited(field)
				? writer.tag(number, WireType.Varint).int32(7)
				: writer.tag(number, WireType.LengthDelimited).bytes(Buffer.from("text")),
		),
		made("an end before its content", (writer) =>
			writer.tag(number, WireType.LengthDelimited).raw(Uint8Array.of(0xff, 0xff, 0x03)),
		),
		made("a number that does not end", (writer) =>
			writer.tag(number, WireType.Varint).raw(new Uint8Array(11).fill(0xff)),
		),
		made("an end of a group that did not begin", (writer) => writer.tag(number, WireType.EndGroup)),
	];
	const many = (label: string, one: () => Uint8Array): HostileField => ({
		label,
		bytes: () => Buffer.concat(new Array<Uint8Array>(5_000).fill(one())),
	});
	const kind = field.fieldKind === "list" ? field.listKind : field.fieldKind;
	if (kind === "message") {
		const empty = bytes("empty", () => "");
		const special =
			field.message?.typeName === "google.protobuf.Struct"
				? structs().map(([label, content]) => bytes(label, content))
				: field.message?.typeName === "google.protobuf.Timestamp"
					? times().map(([label, content]) => bytes(label, content))
					: [bytes("unknown fields", () => Buffer.from([0xf8, 0xff, 0x03, 0x01]))];
		return [...malformed, empty, ...special, many("5,000 of them", () => empty.bytes())];
	}
	if (kind === "enum") {
		const values = [-1n, 99n, 2n ** 31n - 1n].map(varint);
		return [...malformed, ...values, many("5,000 of them", () => varint(99n).bytes())];
	}
	switch (field.scalar) {
		case ScalarType.STRING: {
			const known = [...tokensLike(field, world), ...texts].map(([label, content]) => bytes(label, content));
			return [...malformed, ...known, many("5,000 of them", () => bytes("", () => "a").bytes())];
		}
		case ScalarType.BYTES:
			return [...malformed, bytes("empty", () => ""), bytes("1 MiB", () => new Uint8Array(mebibyte).fill(0xff))];
		case ScalarType.DOUBLE:
			return [
				...malformed,
				...doubles.map((value) => made(String(value), (writer) => writer.tag(number, WireType.Bit64).double(value))),
			];
		case ScalarType.BOOL:
			return [...malformed, varint(1n), varint(2n ** 63n - 1n)];
		default: {
			const values = (field.scalar === ScalarType.INT64 ? longs : integers).map(varint);
			return [...malformed, ...values, many("5,000 of them", () => varint(1n).bytes())];
		}
	}
}

function isDelimited(field: DescField): boolean {
	return (
		field.fieldKind === "list" ||
		field.fieldKind === "message" ||
		(field.fieldKind === "scalar" && (field.scalar === ScalarType.STRING || field.scalar === ScalarType.BYTES))
	);
}

/** Tokens whose first part is genuine. */
function tokensLike(field: DescField, world: FuzzWorld): [string, () => string][] {
	const genuine =
		field.name === "page_token" ? world.pageTokens : field.name === "resume_token" ? world.resumeTokens : [];
	return genuine.flatMap((token) => {
		const parts = JSON.parse(Buffer.from(token, "base64url").toString()) as unknown[];
		const forged = [{ a: 1 }, null, "text\0", -1, 1e308, [[]], "9".repeat(400)].map((part) => [
			parts[0],
			...parts.slice(1).map(() => part),
		]);
		return [
			["a token", () => token] as [string, () => string],
			...[...forged, [parts[0]], [...parts, 1]].map((content): [string, () => string] => [
				`a forged token ${JSON.stringify(content).slice(0, 60)}`,
				() => Buffer.from(JSON.stringify(content)).toString("base64url"),
			]),
		];
	});
}

/** Structs as bytes, since protobuf-es would not write most of them. */
function structs(): [string, () => Uint8Array][] {
	const delimited = (number: number, content: Uint8Array | string) =>
		new BinaryWriter().tag(number, WireType.LengthDelimited).bytes(Buffer.from(content)).finish();
	const entry = (key: Uint8Array | string, value: Uint8Array) =>
		delimited(1, Buffer.concat([delimited(1, key), delimited(2, value)]));
	const number = (value: number) => new BinaryWriter().tag(2, WireType.Bit64).double(value).finish();
	const text = (value: Uint8Array | string) => delimited(3, value);
	const one = number(1);
	const nested = (depth: number, wrap: (inner: Uint8Array) => Uint8Array) => {
		let value: Uint8Array = one;
		for (let i = 0; i < depth; i++) {
			value = wrap(value);
		}
		return entry("deep", value);
	};
	const asObject = (inner: Uint8Array) => delimited(5, entry("a", inner));
	const asList = (inner: Uint8Array) => delimited(6, delimited(1, inner));
	return [
		["a NaN", () => entry("a", number(Number.NaN))],
		["an infinity", () => entry("a", number(Number.POSITIVE_INFINITY))],
		["an infinity within", () => entry("a", asObject(asList(number(Number.NEGATIVE_INFINITY))))],
		["a value of no kind", () => entry("a", new Uint8Array())],
		["a list with a value of no kind", () => entry("a", delimited(6, delimited(1, "")))],
		["a key without value", () => delimited(1, delimited(1, "a"))],
		["an unknown kind of null", () => entry("a", new BinaryWriter().tag(1, WireType.Varint).int32(9).finish())],
		["an empty key", () => entry("", one)],
		["the key __proto__", () => entry("__proto__", asObject(one))],
		["NUL in keys and texts", () => entry("a\0b", text("\0"))],
		["a lone surrogate", () => entry(Buffer.from([0xed, 0xa0, 0x80]), text(Buffer.from([0xed, 0xb0, 0x80])))],
		["a text of 1 MiB", () => entry("a", text("x".repeat(mebibyte)))],
		["a key of 100 KB", () => entry("k".repeat(100_000), one)],
		["5,000 keys", () => Buffer.concat(Array.from({ length: 5_000 }, (_, i) => entry(`k${i}`, one)))],
		["objects 90 deep", () => nested(90, asObject)],
		["objects 250 deep", () => nested(250, asObject)],
		["lists 3,000 deep", () => nested(3_000, asList)],
		["objects 3,000 deep", () => nested(3_000, asObject)],
		["keys of a configuration", () => entry("name", number(5))],
		["a configuration with a list for a text", () => entry("entrypoint", asList(asObject(one)))],
	];
}

function times(): [string, () => Uint8Array][] {
	const time = (seconds: bigint, nanos: number) => () =>
		new BinaryWriter().tag(1, WireType.Varint).int64(seconds.toString()).tag(2, WireType.Varint).int32(nanos).finish();
	return [
		["a time at the end of int64", time(2n ** 63n - 1n, 0)],
		["a time at the start of int64", time(-(2n ** 63n), 0)],
		["nanoseconds below 0", time(0n, -1)],
		["nanoseconds above a second", time(0n, 2_000_000_000)],
		["the year 10000", time(253_402_300_800n, 0)],
	];
}
