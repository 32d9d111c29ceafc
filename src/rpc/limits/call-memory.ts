import { RequestMemory } from "./request-memory.js";
import { UnreadAnswers } from "./unread-answers.js";

/** What the calls of a server hold in its memory, by whatever door they came. */
export interface CallMemory {
	readonly requests: RequestMemory;
	readonly answers: UnreadAnswers;
}

/** Makes the memory of a server's calls. */
export function createCallMemory(): CallMemory {
	return { requests: new RequestMemory(), answers: new UnreadAnswers() };
}
