import { CollectiveCaller, CollectiveOperation, CollectiveScope } from "../gen/millrace/v1/rendezvous_pb.js";
import type { RendezvousMember } from "../rendezvous/client.js";
import { atStep } from "../steps.js";

const runtime = { caller: CollectiveCaller.RUNTIME };

/** Waits for all workers after a commit. Returns whether the run is now closed because it was preempted. */
export async function stepBarrier(member: RendezvousMember, done: boolean): Promise<boolean> {
	const scope = CollectiveScope.WORLD;
	atStep("barrier.enter");
	const { preempted } = await member.collective({ ...runtime, scope, operation: CollectiveOperation.STEP, done });
	atStep("barrier.leave");
	return preempted;
}

/** Waits for all workers, and for the server to record that all work is done, with the chief's results. */
export async function finishBarrier(
	member: RendezvousMember,
	results: readonly { group: string; metricsJson: string }[],
): Promise<void> {
	const scope = CollectiveScope.WORLD;
	atStep("end.finish-enter");
	await member.collective({ ...runtime, scope, operation: CollectiveOperation.FINISH, results });
	atStep("end.finish-leave");
}

/** Gives every worker the text of the chief; the others' own is ignored. */
export async function broadcastText(member: RendezvousMember, text: string): Promise<string> {
	const scope = CollectiveScope.WORLD;
	const payload = new TextEncoder().encode(text);
	const operation = CollectiveOperation.BROADCAST;
	const { payloads } = await member.collective({ ...runtime, scope, operation, payload });
	return new TextDecoder().decode(payloads[0]);
}

/** Gives every worker the texts of all, in rank order. */
export async function allgatherText(member: RendezvousMember, text: string): Promise<string[]> {
	const scope = CollectiveScope.WORLD;
	const payload = new TextEncoder().encode(text);
	const operation = CollectiveOperation.ALLGATHER;
	const { payloads } = await member.collective({ ...runtime, scope, operation, payload });
	return payloads.map((bytes) => new TextDecoder().decode(bytes));
}

/** Waits for all workers of this node. */
export async function nodeBarrier(member: RendezvousMember): Promise<void> {
	const scope = CollectiveScope.NODE;
	await member.collective({ ...runtime, scope, operation: CollectiveOperation.ALLGATHER });
}
