import { create, type DescField, type DescMessage, type DescOneof, toBinary } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { Random } from "../../chaos/random.js";
import type { FuzzWorld } from "./fuzz-world.js";
import { hostileFields } from "./hostile-fields.js";
import { plausibleValue } from "./plausible-value.js";

/** The bytes of a message, and what is bad in it. */
export interface MadeMessage {
	readonly bytes: Uint8Array;
	/** For each hostile content, the field and what it holds. */
	readonly label: string;
}

/** A message that is good but for one field. */
export interface SpoiltMessage extends MadeMessage {
	/** The names on the way to the field, as the protos spell them. */
	readonly path: readonly string[];
	readonly field: DescField;
}

/** Fields that a good message of a type has not, beside the others: the method refuses them together. */
const apart: Readonly<Record<string, readonly string[]>> = {
	UpdateExperimentRequest: ["labels"],
	// Outputs would have to lie below a directory that is named for the member; nothing else goes with a finish.
	CommitRequest: ["outputs", "alone"],
	MetadataChange: ["clear"],
	// A password takes a tenth of a second to hash, and a remote user has none.
	CreateUserRequest: ["password"],
	UpdateUserRequest: ["password", "old_password"],
};

/** Values that a good message of a type has, where those of the field's name do not fit. */
const fitting: Readonly<Record<string, (world: FuzzWorld) => object>> = {
	Member: ({ member }) => member,
	JoinRequest: ({ trialIds }) => ({ trialId: trialIds[1], trialRunId: 0 }),
	ProcessOptions: () => ({ onError: 2 }),
	CommitRequest: () => ({ finish: false, part: 0 }),
	RecordFailure: () => ({ record: 5n }),
	StreamTrialLogsRequest: () => ({ orderBy: 1 }),
	EndTrialRunRequest: () => ({ state: 5 }),
	CreateUserRequest: () => ({ remote: true }),
	CreateTokenRequest: () => ({ expireTime: timestampFromMs(Date.now() + 60_000) }),
	// Of a trial whose run is open.
	CreateWorkerTokenRequest: ({ trialIds }) => ({ trialId: trialIds[1] }),
};

/** The case of a oneof that the first message of a stream has to have. */
const firstCases: Readonly<Record<string, string>> = { AttendRequest: "join" };

/** Makes messages of the protos' descriptors for a seeded server. */
export class MessageMaker {
	readonly #random: Random;
	readonly #world: FuzzWorld;

	constructor(random: Random, world: FuzzWorld) {
		this.#random = random;
		this.#world = world;
	}

	/** Makes a message that a good client could send. */
	good(schema: DescMessage): Uint8Array {
		return Buffer.concat([...this.#good(schema).values()]);
	}

	/** Makes a message of good, absent and hostile fields; a few are malformed as a whole. */
	random(schema: DescMessage): MadeMessage {
		const labels: string[] = [];
		const bytes = this.#mixed(schema, schema.name, labels);
		const random = this.#random;
		if (bytes.length > 0 && random.chance(0.04)) {
			const end = random.integer(0, bytes.length - 1);
			return { bytes: bytes.subarray(0, end), label: `cut after ${end} bytes; ${labels}` };
		}
		if (bytes.length > 0 && random.chance(0.04)) {
			const changed = Uint8Array.from(bytes);
			const place = random.integer(0, bytes.length - 1);
			changed[place] = random.integer(0, 255);
			return { bytes: changed, label: `byte ${place} changed; ${labels}` };
		}
		return { bytes, label: labels.join("; ") };
	}

	/** Makes for each field, also of nested messages, each message that is good but for this field. */
	*spoilt(schema: DescMessage, depth = 0): Generator<SpoiltMessage> {
		if (depth > 4) {
			return;
		}
		for (const field of schema.fields) {
			const good = this.#good(schema);
			for (const other of field.oneof?.fields ?? []) {
				good.delete(other.number);
			}
			good.delete(field.number);
			// At the end, where bytes that are too few take none of another field.
			const spoil = (content: Uint8Array) => Buffer.concat([...good.values(), content]);
			yield { path: [field.name], field, label: "absent", bytes: spoil(new Uint8Array()) };
			for (const { label, bytes } of hostileFields(field, this.#world)) {
				yield { path: [field.name], field, label, bytes: spoil(bytes()) };
			}
			if (field.message !== undefined && !isWellKnown(field.message)) {
				for (const { path, bytes, ...rest } of this.spoilt(field.message, depth + 1)) {
					yield { ...rest, path: [field.name, ...path], bytes: spoil(delimited(field.number, bytes)) };
				}
			}
		}
	}

	#good(schema: DescMessage): Map<number, Uint8Array> {
		const chunks = new Map<number, Uint8Array>();
		const fits = fitting[schema.name]?.(this.#world) ?? {};
		for (const member of schema.members) {
			const field = member.kind === "oneof" ? this.#firstCase(member) : member;
			if (!apart[schema.name]?.includes(field.name)) {
				const fit = (fits as Record<string, unknown>)[field.localName];
				chunks.set(field.number, this.#goodField(field, fit));
			}
		}
		return chunks;
	}

	#firstCase(oneof: DescOneof): DescField {
		return oneof.fields.find(({ name }) => name === firstCases[oneof.parent.name]) ?? this.#chosen(oneof);
	}

	#chosen({ fields }: DescOneof): DescField {
		return this.#random.pick(fields);
	}

	#goodField(field: DescField, value?: unknown): Uint8Array {
		if (field.message !== undefined && !isWellKnown(field.message)) {
			return delimited(field.number, this.good(field.message));
		}
		const one = value ?? plausibleValue(field, this.#random, this.#world);
		const given = field.fieldKind === "list" ? [one] : one;
		const init = field.oneof
			? { [field.oneof.localName]: { case: field.localName, value: given } }
			: { [field.localName]: given };
		return toBinary(field.parent, create(field.parent, init));
	}

	#mixed(schema: DescMessage, path: string, labels: string[], depth = 0): Uint8Array {
		const random = this.#random;
		const chunks: Uint8Array[] = [];
		for (const member of schema.members) {
			const fields = member.kind !== "oneof" ? [member] : random.chance(0.95) ? [this.#chosen(member)] : member.fields;
			for (const field of fields) {
				const name = `${path}.${field.name}`;
				if (random.chance(0.3)) {
					continue;
				}
				if (random.chance(0.12)) {
					const { label, bytes } = random.pick(hostileFields(field, this.#world));
					labels.push(`${name}: ${label}`);
					chunks.push(bytes());
				} else if (field.message !== undefined && !isWellKnown(field.message) && depth < 5) {
					const count = field.fieldKind === "list" ? random.pick([0, 1, 1, 2, 3]) : 1;
					for (let i = 0; i < count; i++) {
						chunks.push(delimited(field.number, this.#mixed(field.message, name, labels, depth + 1)));
					}
				} else {
					chunks.push(this.#goodField(field));
				}
			}
		}
		return Buffer.concat(chunks);
	}
}

function isWellKnown({ typeName }: DescMessage): boolean {
	return typeName.startsWith("google.protobuf.");
}

function delimited(number: number, content: Uint8Array): Uint8Array {
	return new BinaryWriter().tag(number, WireType.LengthDelimited).bytes(content).finish();
}
