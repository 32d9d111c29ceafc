import { execFileSync } from "node:child_process";
import { fromBinary } from "@bufbuild/protobuf";
import { type FileDescriptorProto, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";

/** A file of the contract, with its comments. */
export class ProtoFile {
	readonly descriptor: FileDescriptorProto;
	readonly #comments: ReadonlyMap<string, string>;

	constructor(descriptor: FileDescriptorProto) {
		this.descriptor = descriptor;
		const locations = descriptor.sourceCodeInfo?.location ?? [];
		this.#comments = new Map(locations.map((location) => [location.path.join("."), location.leadingComments]));
	}

	/** The comment of what is at a path of field numbers and indices, as descriptor.proto has them. */
	comment(...path: number[]): string {
		const text = (this.#comments.get(path.join(".")) ?? "").replace(/^ /gm, "").trim();
		// Outside of code, Markdown would take <uuid> for HTML.
		return text.replace(/`[^`]*`|</g, (found) => (found === "<" ? "&lt;" : found));
	}
}

/** Reads the files of proto/, in the order of their names. */
export function readProtoFiles(): ProtoFile[] {
	const image = execFileSync("node_modules/.bin/buf", ["build", "-o", "-"], { maxBuffer: 64 * 1024 * 1024 });
	const { file } = fromBinary(FileDescriptorSetSchema, image);
	return file.filter(({ name }) => name.startsWith("millrace/")).map((descriptor) => new ProtoFile(descriptor));
}
