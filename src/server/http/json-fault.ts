import { type DescField, type DescMessage, fromJson, type JsonObject, type JsonValue } from "@bufbuild/protobuf";
import { MillraceError, messageOf } from "../../errors.js";

/**
 * Returns what is wrong with a request that is no message as JSON, and where. Returns undefined if it is one.
 *
 * It is for requests that Connect's library has refused, which names no field where a message or an enum was to be. Parts
 * are parsed again for each level of nesting.
 *
 * @param options.showsValues Whether values may be repeated, which are no passwords.
 */
export function jsonFault(
	schema: DescMessage,
	bytes: Uint8Array,
	{ showsValues }: { readonly showsValues: boolean },
): MillraceError | undefined {
	const fault = faultIn(schema, bytes);
	if (fault === undefined) {
		return undefined;
	}
	const { path, words, withValue = words } = fault;
	const place = [schema.typeName, ...path].join(".");
	return new MillraceError("invalid_argument", `malformed ${place}: ${showsValues ? withValue : words}`);
}

interface Fault {
	/** The names on the way to the value, as the protos spell them, with the places in lists. */
	readonly path: readonly string[];
	/** What is wrong. */
	readonly words: string;
	/** The same with the value. */
	readonly withValue?: string;
}

function faultIn(schema: DescMessage, bytes: Uint8Array): Fault | undefined {
	if (bytes.length === 0) {
		return { path: [], words: "the request is empty; send at least {}" };
	}
	let value: JsonValue;
	try {
		value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
	} catch (error) {
		return { path: [], words: "it is no JSON", withValue: messageOf(error) };
	}
	return faultOf(schema, value, []);
}

function faultOf(schema: DescMessage, value: JsonValue, path: readonly string[]): Fault | undefined {
	const failure = failureOf(schema, value);
	if (failure === undefined) {
		return undefined;
	}
	if (!isObject(value)) {
		return { path, words: "it is no JSON object", withValue: `${shown(value)} is no JSON object` };
	}
	for (const [key, part] of Object.entries(value)) {
		const field = schema.fields.find(({ name, jsonName }) => name === key || jsonName === key);
		if (field === undefined) {
			const names = schema.fields.map(({ jsonName }) => jsonName).join(", ");
			return {
				path,
				words: `${shown(key)} is no field; ${names === "" ? "there are none" : `the fields are ${names}`}`,
			};
		}
		if (failureOf(schema, { [key]: part }) !== undefined) {
			return faultOfField(schema, field, part, [...path, field.name]);
		}
	}
	return { path, words: "its fields do not go together", withValue: failure };
}

function faultOfField(schema: DescMessage, field: DescField, value: JsonValue, path: readonly string[]): Fault {
	const failureWith = (content: JsonValue) => failureOf(schema, { [field.name]: content });
	if (field.fieldKind === "list" && Array.isArray(value)) {
		for (const [index, part] of value.entries()) {
			const failure = failureWith([part]);
			if (failure !== undefined) {
				return faultOfPart(field, part, [...path.slice(0, -1), `${path.at(-1)}[${index}]`], failure);
			}
		}
	}
	return faultOfPart(field, value, path, failureWith(value) ?? "");
}

/** Returns the fault of a field's value, or of one in its list. */
function faultOfPart(field: DescField, value: JsonValue, path: readonly string[], failure: string): Fault {
	// What a known type such as Struct is made of is no field of ours.
	const inner = field.message?.typeName.startsWith("millrace.") && faultOf(field.message, value, path);
	if (inner) {
		return inner;
	}
	if (field.enum !== undefined) {
		const names = field.enum.values.map(({ name }) => name).join(", ");
		return { path, words: `it is none of ${names}`, withValue: `${shown(value)} is none of ${names}` };
	}
	const reason = failure.replace(/^cannot decode .*? from JSON:? ?/s, "");
	return field.message === undefined
		? { path, words: "it has another type", withValue: reason }
		: { path, words: `no ${field.message.typeName}`, withValue: `no ${field.message.typeName}: ${reason}` };
}

function failureOf(schema: DescMessage, value: JsonValue): string | undefined {
	try {
		fromJson(schema, value);
		return undefined;
	} catch (error) {
		return messageOf(error);
	}
}

function isObject(value: JsonValue): value is JsonObject {
	return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Returns a value as it is written in JSON, cut to what a message can hold. */
function shown(value: JsonValue): string {
	try {
		const text = JSON.stringify(value);
		return text.length > 60 ? `${text.slice(0, 60)}…` : text;
	} catch {
		return "what is nested too deeply";
	}
}
