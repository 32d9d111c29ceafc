import type { DescEnum, DescField } from "@bufbuild/protobuf";
import { ScalarType } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { Random } from "../../chaos/random.js";
import { type FuzzWorld, seededFile } from "./fuzz-world.js";

/** What the fields of this name hold in a message that a user could send. */
type Maker = (random: Random, world: FuzzWorld) => unknown;

const text: Maker = (random) => `text ${random.integer(0, 999)}`;
const uuid: Maker = (random) => {
	const digits = Array.from({ length: 32 }, () => random.integer(0, 15).toString(16)).join("");
	return digits.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
};
const json: Maker = (random) => ({ a: random.integer(0, 9), b: { c: [1, "x", null, true] } });

const byName: Readonly<Record<string, Maker>> = {
	request_id: uuid,
	client_id: uuid,
	owner_uuid: uuid,
	sequence: () => 1n,
	experiment_id: (random, world) => random.pick(world.experimentIds),
	trial_id: (random, world) => random.pick(world.trialIds),
	trial_run_id: () => 1,
	model: (random, world) => random.pick(world.models),
	model_id: (_, world) => Number(world.models[1]),
	version: (random) => random.integer(1, 2),
	checkpoint_uuid: (random, world) => random.pick(world.checkpointUuids),
	member_uuid: (_, world) => world.member.memberUuid,
	name: text,
	username: (random) => random.pick(["ivy", "bob", "nobody"]),
	display_name: text,
	user_id: (random) => random.integer(1, 9),
	token_id: (random) => random.integer(1, 9),
	// One that is right, or could be, would be hashed.
	password: () => "short",
	old_password: () => "short",
	page_size: (random) => random.integer(1, 20),
	page_token: () => "",
	resume_token: () => "",
	group: () => "inference",
	sort_by_metric: () => "loss",
	metrics_json: (random) => JSON.stringify({ loss: random.integer(0, 99), nested: { a: [1] } }),
	batch_metrics_json: () => '[{"loss":1}]',
	slot_json: () => '{"total":1}',
	values_json: () => "[1,2]",
	config: (random) => ({ name: `fuzzed ${random.integer(0, 999)}`, entrypoint: "true" }),
	hparams: json,
	metadata: json,
	set: json,
	rank: () => 0,
	world_size: () => 1,
	local_rank: () => 0,
	local_world_size: () => 1,
	node_rank: () => 0,
	join_timeout_ms: () => 1_000,
	max_restarts: (random) => random.integer(0, 5),
	progress: (random) => random.next(),
	path: () => seededFile.path,
	size_bytes: () => seededFile.sizeBytes,
	sha256: () => seededFile.sha256,
	offset: () => 0n,
	data: () => seededFile.data,
	first: () => 0n,
	end: () => 2n,
	first_record: () => 0n,
	record: () => 0n,
	record_count: () => 1_000n,
	max_batches: () => 0n,
	max_errors: () => 10n,
	batch_size: () => 2,
	checkpoint_interval: () => 1,
	part: () => 1,
	commit_number: () => 1,
	number: () => 1,
	step: () => 1,
	code: () => 0,
	globs: () => "**",
	seconds: () => BigInt(Math.floor(Date.now() / 1000)),
	nanos: () => 0,
};

/** Returns what a field could hold in a good message; one item of a repeated field. Not for messages but well-known ones. */
export function plausibleValue(field: DescField, random: Random, world: FuzzWorld): unknown {
	const name = field.name.replace(/(_id|_uuid|_token|label|glob|source|host|username)s$/, "$1");
	const make = byName[name];
	if (make !== undefined) {
		return make(random, world);
	}
	const type = field.fieldKind === "list" ? field.listKind : field.fieldKind;
	if (type === "enum" && field.enum !== undefined) {
		return random.pick(definedValues(field.enum));
	}
	if (type === "message") {
		return field.message?.typeName === "google.protobuf.Timestamp" ? timestampFromMs(Date.now()) : json(random, world);
	}
	switch (field.scalar) {
		case ScalarType.STRING:
			return text(random, world);
		case ScalarType.BYTES:
			return Buffer.from("bytes");
		case ScalarType.BOOL:
			return random.chance(0.5);
		case ScalarType.INT64:
			return BigInt(random.integer(0, 9));
		default:
			return random.integer(0, 9);
	}
}

function definedValues({ values }: DescEnum): number[] {
	return values.map(({ number }) => number).filter((number) => number !== 0);
}
