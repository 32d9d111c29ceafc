import { readdirSync } from "node:fs";
import type { DescMessage, DescMethod, DescService } from "@bufbuild/protobuf";

const folder = new URL("../../../src/gen/millrace/v1/", import.meta.url);

/** Every method of every service of the protos. */
export async function allMethods(): Promise<DescMethod[]> {
	const names = readdirSync(folder).filter((name) => name.endsWith("_service_pb.ts"));
	const modules = await Promise.all(
		names.map((name) => import(new URL(name, folder).href) as Promise<Record<string, unknown>>),
	);
	return modules
		.flatMap((module) => Object.values(module).filter(isService))
		.flatMap(({ methods }) => methods)
		.sort((a, b) => (fullName(a) < fullName(b) ? -1 : 1));
}

/** The name of a method with that of its service, as in `TrialService.GetTrial`. */
export function fullName(method: DescMethod): string {
	return `${method.parent.name}.${method.name}`;
}

/** The names of a message's fields, and of the messages in it, as the protos spell them. */
export function fieldNames(schema: DescMessage, above: readonly DescMessage[] = []): Set<string> {
	if (above.includes(schema)) {
		return new Set();
	}
	const inner = schema.fields.flatMap(({ name, oneof, message }) => [
		name,
		...(oneof === undefined ? [] : [oneof.name]),
		...(message === undefined ? [] : fieldNames(message, [...above, schema])),
	]);
	return new Set(inner);
}

function isService(value: unknown): value is DescService {
	return typeof value === "object" && value !== null && "kind" in value && value.kind === "service";
}
