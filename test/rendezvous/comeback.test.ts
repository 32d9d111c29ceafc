import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { join as pathOf } from "node:path";
import { after, describe, it } from "node:test";
import { CollectiveOperation as Operation } from "../../src/gen/millrace/v1/rendezvous_pb.js";
import { RendezvousService } from "../../src/gen/millrace/v1/rendezvous_service_pb.js";
import { TrialService } from "../../src/gen/millrace/v1/trial_service_pb.js";
import type { RendezvousMember } from "../../src/rendezvous/client.js";
import { reconnectGraceMs } from "../../src/rendezvous/presence.js";
import { Connection } from "../../src/server/db/database.js";
import { startTrial } from "../server/start-trial.js";
import { CertificateAuthority, pemFiles } from "../support/certificate-authority.js";
import { startCutProxy } from "../support/cut-proxy.js";
import { errorWith } from "../support/error-with.js";
import { startTestServer, type TestServer } from "../support/start-test-server.js";
import { joinOf, memberAs, user } from "./attend-ranks.js";

/** A run of two, each behind a wire of its own. */
async function startPair(server: TestServer, trialId: number) {
	const wires = [await startCutProxy(server.address), await startCutProxy(server.address)] as const;
	const members = await Promise.all(
		wires.map(({ address }, rank) => memberAs(address, { trialId, worldSize: 2, rank, memberUuid: randomUUID() })),
	);
	return { wires, members: members as [RendezvousMember, RendezvousMember] };
}

/** Starts the server of another's directory at the same port, once that one is closed. */
async function restart(server: TestServer, leaseMs: number): Promise<TestServer> {
	await server.close();
	return startTestServer({ dataDirectory: server.dataDirectory, port: Number(server.address.split(":")[1]), leaseMs });
}

function gatherAll(members: readonly RendezvousMember[]): Promise<string[][]> {
	return Promise.all(members.map((member, rank) => user(member, Operation.ALLGATHER, `${rank}`)));
}

describe("a member that comes back", { timeout: 60_000 }, () => {
	it("is let in though nothing can be written", async () => {
		const server = await startTestServer();
		const trialId = await startTrial(server);
		const { wires, members } = await startPair(server, trialId);
		const other = await Connection.open(pathOf(server.dataDirectory, "millrace.db"));
		// Whatever the server writes waits until this one is done.
		await other.run("BEGIN IMMEDIATE");
		try {
			wires[1].cut("reset");
			wires[1].resume();
			const start = performance.now();
			assert.deepEqual(await gatherAll(members), [
				["0", "1"],
				["0", "1"],
			]);
			assert.ok(performance.now() - start < reconnectGraceMs);
		} finally {
			await other.run("ROLLBACK");
			await other.close();
		}
	});

	it("does not come back to a running run that it was removed from, even by another server", async () => {
		const leaseMs = 1_000;
		const first = await startTestServer({ leaseMs });
		const trialId = await startTrial(first);
		const frozen = joinOf({ trialId, worldSize: 2, rank: 0, pid: 666 });
		const silent = first.client(RendezvousService).attend();
		after(() => silent.cancel());
		silent.send({ message: { case: "join", value: frozen } });
		// It says nothing more, so its stream is ended after a lease.
		await assert.rejects(async () => {
			for await (const _ of silent) {
			}
		}, /connect again/);
		const { wires, members } = await startPair(first, trialId);
		await gatherAll(members);
		for (const wire of wires) {
			wire.cut();
		}
		const next = await restart(first, leaseMs);
		const again = next.client(RendezvousService).attend();
		after(() => again.cancel());
		again.send({ message: { case: "join", value: frozen } });
		for (const wire of wires) {
			wire.resume();
		}
		assert.deepEqual(await gatherAll(members), [
			["0", "1"],
			["0", "1"],
		]);
		await assert.rejects(async () => {
			for await (const { message } of again) {
				assert.notEqual(message.case, "joined");
			}
		}, /rank 0 is taken/);
	});

	it("ends the run with its reason when it fails before the others are back", async () => {
		const first = await startTestServer();
		const trialId = await startTrial(first);
		const { wires, members } = await startPair(first, trialId);
		for (const wire of wires) {
			wire.cut();
		}
		// Long enough that nobody waits for it to pass.
		const next = await restart(first, 60_000);
		wires[1].resume();
		await members[1].leave("no such file: labels.csv");
		wires[0].resume();
		await assert.rejects(user(members[0], Operation.ALLGATHER), /rank 1 on host-1 failed: no such file: labels.csv/);
		const { trialRun } = await next.client(TrialService).getTrialRun({ trialId, trialRunId: 1 });
		assert.match(trialRun?.reason ?? "", /labels\.csv/);
	});

	it("says so, at its deadline, when the server has come back with a certificate of another CA", async () => {
		const plain = await startTestServer();
		const { dataDirectory } = plain;
		const trialId = await startTrial(plain);
		await plain.close();
		const [ca, other] = [new CertificateAuthority("Test CA"), new CertificateAuthority("Other CA")];
		const certificateOf = (issuer: CertificateAuthority) =>
			pemFiles(issuer.issue({ name: "gpu-box", hosts: ["127.0.0.1"] }));
		const first = await startTestServer({ dataDirectory, tls: certificateOf(ca) });
		const times = { connectMs: 5_000, retryMs: 300 };
		const member = await memberAs(first.address, { trialId }, { ...times, security: { tls: { ca: ca.cert } } });
		const lost = once(member.signal, "abort");
		await first.close();
		await startTestServer({ dataDirectory, port: Number(first.address.split(":")[1]), tls: certificateOf(other) });
		await lost;
		errorWith(
			"failed_precondition",
			/issued by CN=Other CA, and this client trusts only CN=Test CA; give/,
		)(member.signal.reason);
	});
});
