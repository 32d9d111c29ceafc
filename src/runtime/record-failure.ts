import { create } from "@bufbuild/protobuf";
import { messageOf } from "../errors.js";
import { type RecordFailure, RecordFailureSchema } from "../gen/millrace/v1/progress_pb.js";

/** The most characters of a message, and of a stack, that the server takes. */
const longestText = 65_536;

/** Makes a dead letter of what was thrown for a record. Its stack goes on with those of the causes. */
export function toRecordFailure(record: number, thrown: unknown): RecordFailure {
	return create(RecordFailureSchema, {
		record: BigInt(record),
		error: messageOf(thrown).slice(0, longestText),
		stack: stacksOf(thrown).join("\nCaused by: ").slice(0, longestText),
	});
}

/** How many causes of an error are followed; they may go round in a circle. */
const mostCauses = 10;

function stacksOf(thrown: unknown): string[] {
	const stacks: string[] = [];
	for (let error = thrown; error instanceof Error && stacks.length < mostCauses; error = error.cause) {
		stacks.push(error.stack ?? `${error.name}: ${error.message}`);
	}
	return stacks;
}
