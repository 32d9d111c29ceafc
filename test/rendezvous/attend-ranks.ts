import { randomUUID } from "node:crypto";
import { after } from "node:test";
import {
	CollectiveCaller,
	type CollectiveOperation,
	CollectiveScope,
} from "../../src/gen/millrace/v1/rendezvous_pb.js";
import { type Attendance, attend, type JoinInit, type RendezvousMember } from "../../src/rendezvous/client.js";
import { Channel, type ChannelSettings } from "../../src/rpc/channel.js";

/** A join of rank 0 in a world of 1, on a host named after its rank, but for what is given. */
export function joinOf(join: JoinInit): JoinInit {
	const { rank = 0, worldSize = 1 } = join;
	return {
		memberUuid: randomUUID(),
		worldSize,
		localRank: rank,
		localWorldSize: worldSize,
		host: `host-${rank}`,
		pid: 4_000 + rank,
		joinTimeoutMs: 20_000,
		...join,
	};
}

/** Joins as `attend` does, over a channel of its own, which is closed after the test. */
export async function attendAs(
	address: string,
	join: JoinInit,
	timeouts: ChannelSettings = { connectMs: 5_000, retryMs: 20_000 },
): Promise<Attendance & { readonly channel: Channel }> {
	const channel = new Channel(address, timeouts);
	after(() => channel.close());
	const attendance = await attend(channel, joinOf(join));
	if (attendance.kind === "member") {
		const { member } = attendance;
		after(() => member.close());
	}
	return { ...attendance, channel };
}

/** Joins as `attendAs` does, and returns the member. */
export async function memberAs(address: string, join: JoinInit, timeouts?: ChannelSettings): Promise<RendezvousMember> {
	const attendance = await attendAs(address, join, timeouts);
	if (attendance.kind === "ended") {
		throw new Error(`the run had ended: ${JSON.stringify(attendance.ended)}`);
	}
	return attendance.member;
}

/** Joins all ranks of a run, each over a channel of its own; rank i to the i-th address, if there is one. */
export function attendRanks(
	addresses: readonly [string, ...string[]],
	join: JoinInit & { readonly worldSize: number },
	timeouts?: ChannelSettings,
): Promise<RendezvousMember[]> {
	return Promise.all(
		Array.from({ length: join.worldSize }, (_, rank) =>
			memberAs(addresses[rank] ?? addresses[0], { ...join, rank }, timeouts),
		),
	);
}

/** Takes part in an operation of the user's code. */
export function user(
	member: RendezvousMember | undefined,
	operation: CollectiveOperation,
	payload = "",
	scope = CollectiveScope.WORLD,
): Promise<string[]> {
	return take(member, { scope, caller: CollectiveCaller.USER, operation, payload: Buffer.from(payload) }).then(
		({ payloads }) => payloads.map((bytes) => Buffer.from(bytes).toString()),
	);
}

/** Takes part in an operation of the runtime. */
export function runtime(
	member: RendezvousMember | undefined,
	operation: CollectiveOperation,
	done = false,
): Promise<{ readonly preempted: boolean }> {
	return take(member, { scope: CollectiveScope.WORLD, caller: CollectiveCaller.RUNTIME, operation, done });
}

function take(member: RendezvousMember | undefined, given: Parameters<RendezvousMember["collective"]>[0]) {
	if (member === undefined) {
		throw new Error("no member of this rank");
	}
	return member.collective(given);
}
