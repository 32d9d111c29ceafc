/**
 * Who numbers its calls. A client id counts for its caller alone: whoever else learns it cannot answer, or advance, the calls
 * of its owner.
 */
export interface Sender {
	/** What the sender calls itself. */
	readonly clientId: string;
	/** Who calls, as `callerName` says; '' where an older program has not kept it, for whoever has the client id. */
	readonly caller: string;
}

/** Returns a text that no other sender has. */
export function senderKey({ clientId, caller }: Sender): string {
	return JSON.stringify([clientId, caller]);
}
