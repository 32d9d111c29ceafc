// A member of a run of one, whose main thread is stuck as soon as the run has started, for a minute.
import { attendInThread, startMemberThread } from "../../../src/rendezvous/thread-member.js";
import { Channel } from "../../../src/rpc/channel.js";

const channel = new Channel(process.env.MILLRACE_SERVER ?? "");
const join = {
	trialId: Number(process.env.MILLRACE_TRIAL_ID),
	memberUuid: "9b4a1f0e-6c2d-4f5e-8a7b-000000000001",
	rank: 0,
	worldSize: 1,
	localWorldSize: 1,
	host: "test",
	pid: process.pid,
};
await attendInThread(startMemberThread(), channel, join, { reactMs: 500 });
process.stdout.write("stuck\n", () => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 60_000));
