import { create } from "@bufbuild/protobuf";
import { messageOf } from "../errors.js";
import { type RecordFailure, RecordFailureSchema } from "../gen/millrace/v1/progress_pb.js";

/** The most characters that are kept of a message, and of a stack. */
const longestMessage = 4_096;
const longestStack = 16_384;

/** Makes a dead letter of what was thrown for a record. Its stack goes on with those of the causes. */
export function toRecordFailure(record: number, thrown: unknown): RecordFailure {
	return create(RecordFailureSchema, {
		record: BigInt(record),
		error: messageOf(thrown).slice(0, longestMessage),
		stack: stacksOf(thrown).join("\nCaused by: ").slice(0, longestStack),
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
