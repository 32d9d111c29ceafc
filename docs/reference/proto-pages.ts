import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isFieldSet } from "@bufbuild/protobuf";
import {
	type DescriptorProto,
	type EnumDescriptorProto,
	type FieldDescriptorProto,
	FieldDescriptorProto_Label,
	FieldDescriptorProto_Type,
	FieldDescriptorProtoSchema,
	type MethodDescriptorProto,
	MethodOptions_IdempotencyLevel,
} from "@bufbuild/protobuf/wkt";
import { codes } from "./grpc-codes.js";
import { type ProtoFile, readProtoFiles } from "./proto-file.js";

// Where descriptor.proto has what is within a file, a message, an enum and a service.
const inFile = { message: 4, enum: 5, service: 6 };
const inMessage = { field: 2, nested: 3, enum: 4 };
const inEnum = { value: 2 };
const inService = { method: 2 };

/** A message or an enum, and where its comments are. */
interface Place<D> {
	readonly descriptor: D;
	readonly file: ProtoFile;
	readonly path: readonly number[];
}

/** What the contract names, by its name without the package. */
interface Contract {
	readonly messages: ReadonlyMap<string, Place<DescriptorProto>>;
	readonly enums: ReadonlyMap<string, Place<EnumDescriptorProto>>;
	/** Of messages that are a method's request or answer, the service. */
	readonly ownerOf: ReadonlyMap<string, string>;
}

/** A service of the contract, for an index. */
export interface ServicePage {
	readonly name: string;
	/** Below the directory. */
	readonly path: string;
	readonly summary: string;
}

/** The page of what several services use. */
export const messagesPage = "grpc/messages.md";

/** Writes a page for each service, and one for the messages that they share, from the comments of the protos. */
export function writeProtoPages(directory: string): ServicePage[] {
	const files = readProtoFiles();
	const contract = readContract(files);
	mkdirSync(join(directory, "grpc"), { recursive: true });
	const pages: ServicePage[] = [];
	for (const file of files) {
		for (const [index, service] of file.descriptor.service.entries()) {
			const summary = file.comment(inFile.service, index);
			const methods = service.method.map((method, at) =>
				methodText(contract, method, file.comment(inFile.service, index, inService.method, at)),
			);
			const path = `grpc/${service.name}.md`;
			const title = `# ${service.name}\n\n${summary}\n\nIn \`${file.descriptor.name}\`.`;
			writeFileSync(join(directory, path), `${[title, ...methods].join("\n\n")}\n`);
			pages.push({ name: service.name, path, summary: summary.split(/(?<=\.)\s/)[0] ?? "" });
		}
	}
	writeFileSync(join(directory, messagesPage), `${sharedText(contract)}\n`);
	return pages;
}

function readContract(files: readonly ProtoFile[]): Contract {
	const messages = new Map<string, Place<DescriptorProto>>();
	const enums = new Map<string, Place<EnumDescriptorProto>>();
	const addMessage = (name: string, place: Place<DescriptorProto>): void => {
		const { descriptor, file, path } = place;
		messages.set(name, place);
		for (const [at, nested] of descriptor.nestedType.entries()) {
			addMessage(`${name}.${nested.name}`, { descriptor: nested, file, path: [...path, inMessage.nested, at] });
		}
		for (const [at, nested] of descriptor.enumType.entries()) {
			enums.set(`${name}.${nested.name}`, { descriptor: nested, file, path: [...path, inMessage.enum, at] });
		}
	};
	const ownerOf = new Map<string, string>();
	for (const file of files) {
		for (const [at, descriptor] of file.descriptor.messageType.entries()) {
			addMessage(descriptor.name, { descriptor, file, path: [inFile.message, at] });
		}
		for (const [at, descriptor] of file.descriptor.enumType.entries()) {
			enums.set(descriptor.name, { descriptor, file, path: [inFile.enum, at] });
		}
		for (const { name, method } of file.descriptor.service) {
			for (const { inputType, outputType } of method) {
				ownerOf.set(shortName(inputType), name).set(shortName(outputType), name);
			}
		}
	}
	return { messages, enums, ownerOf };
}

function methodText(contract: Contract, method: MethodDescriptorProto, comment: string): string {
	const { name, inputType, outputType, clientStreaming, serverStreaming, options } = method;
	const stream = (is: boolean, type: string) => `${is ? "stream " : ""}${shortName(type)}`;
	const rpc = `rpc ${name}(${stream(clientStreaming, inputType)}) returns (${stream(serverStreaming, outputType)})`;
	return [
		`## ${name}`,
		`\`\`\`proto\n${rpc}\n\`\`\``,
		commentText(comment),
		repeatText(options?.idempotencyLevel),
		...messageText(contract, shortName(inputType), `### ${shortName(inputType)}`),
		...messageText(contract, shortName(outputType), `### ${shortName(outputType)}`),
	].join("\n\n");
}

function repeatText(level: MethodOptions_IdempotencyLevel | undefined): string {
	switch (level) {
		case MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS:
			return "It changes nothing.";
		case MethodOptions_IdempotencyLevel.IDEMPOTENT:
			return "It may be repeated when its answer was lost.";
		default:
			return "It may not be repeated by itself.";
	}
}

/** A comment, with its errors as a list. */
function commentText(comment: string): string {
	return comment
		.split(/\n{2,}/)
		.map((paragraph) => {
			const sentence = paragraph.replace(/\s*\n\s*/g, " ");
			const errors = sentence.split(new RegExp(`(?<=^|[.,;] )(?=(?:${codes.join("|")})\\b)`));
			return codes.some((code) => sentence.startsWith(code))
				? `Errors:\n\n${errors.map((error) => `- ${marked(error.trim())}`).join("\n")}`
				: paragraph;
		})
		.join("\n\n");
}

function marked(error: string): string {
	return error.replace(/[,;]$/, ".").replace(/^[A-Z_]+/, (code) => `\`${code}\``);
}

/** The messages and enums that belong to no method alone. */
function sharedText(contract: Contract): string {
	const isShared = (name: string) => {
		const [outer = ""] = name.split(".");
		return !contract.ownerOf.has(outer) || name.includes(".");
	};
	const isEntry = (name: string) => contract.messages.get(name)?.descriptor.options?.mapEntry ?? false;
	const messages = [...contract.messages.keys()].filter((name) => isShared(name) && !isEntry(name)).sort();
	const enums = [...contract.enums.keys()].sort();
	return [
		"# Messages",
		"What requests and answers of several methods hold.",
		...messages.flatMap((name) => messageText(contract, name, `## ${name}`)),
		"# Enums",
		...enums.flatMap((name) => enumText(contract, name)),
	].join("\n\n");
}

function messageText(contract: Contract, name: string, heading: string): string[] {
	const place = contract.messages.get(name);
	if (place === undefined) {
		return [heading];
	}
	const { descriptor, file, path } = place;
	const rows = descriptor.field.map((field, at) => {
		const type = typeText(contract, field);
		return `| \`${field.name}\` | ${type} | ${cell(file.comment(...path, inMessage.field, at))} |`;
	});
	const table = rows.length === 0 ? "No fields." : ["| field | type | |", "| --- | --- | --- |", ...rows].join("\n");
	return [heading, file.comment(...path), table];
}

function enumText({ enums }: Contract, name: string): string[] {
	const { descriptor, file, path } = enums.get(name) as Place<EnumDescriptorProto>;
	const rows = descriptor.value.map(
		(value, at) => `| \`${value.name}\` | ${value.number} | ${cell(file.comment(...path, inEnum.value, at))} |`,
	);
	return [`## ${name}`, file.comment(...path), ["| value | number | |", "| --- | --- | --- |", ...rows].join("\n")];
}

function typeText({ messages, ownerOf }: Contract, field: FieldDescriptorProto): string {
	const entry = messages.get(shortName(field.typeName))?.descriptor;
	if (entry?.options?.mapEntry) {
		const [key, value] = entry.field.map((part) => nameOfType(part));
		return `map of ${key} to ${value}`;
	}
	const name = nameOfType(field);
	const isOurs = field.typeName.startsWith(".millrace.");
	const page = ownerOf.has(name) ? `${ownerOf.get(name)}.md` : "messages.md";
	const type = isOurs ? `[${name}](${page}#${name.toLowerCase().replace(/\./g, "")})` : name;
	const isOneof = isFieldSet(field, FieldDescriptorProtoSchema.field.oneofIndex) && !field.proto3Optional;
	const repeated = field.label === FieldDescriptorProto_Label.REPEATED ? "repeated " : "";
	return `${isOneof ? "one of: " : ""}${repeated}${field.proto3Optional ? "optional " : ""}${type}`;
}

function nameOfType({ type, typeName }: FieldDescriptorProto): string {
	return typeName === "" ? (FieldDescriptorProto_Type[type]?.toLowerCase() ?? "") : shortName(typeName);
}

/** The name without the package. */
function shortName(typeName: string): string {
	return typeName.replace(/^\.(?:millrace\.v1|google\.protobuf)\./, "");
}

function cell(text: string): string {
	return text.replace(/\s*\n\s*/g, " ").replace(/\|/g, "\\|");
}
