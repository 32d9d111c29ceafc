import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { after, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import type { DescService } from "@bufbuild/protobuf";
import { RendezvousService } from "../../src/gen/millrace/v1/rendezvous_service_pb.js";
import { openConnection } from "../../src/sdk/connection.js";
import { type AnswerDropper, isWrite, startAnswerDropper } from "../support/answer-dropper.js";
import { readTables, type Tables } from "../support/read-tables.js";
import { startServerWithAccounts } from "../support/start-server-with-accounts.js";
import { startTestServer } from "../support/start-test-server.js";
import { writeCases } from "./write-cases.js";

const generated = fileURLToPath(new URL("../../src/gen/millrace/v1", import.meta.url));
const services = (await Promise.all(readdirSync(generated).map((file) => import(`${generated}/${file}`))))
	.flatMap((module) => Object.values<DescService>(module))
	.filter(({ kind }) => kind === "service");
const writes = services
	.flatMap(({ methods }) => methods)
	.filter((method) => isWrite(method) && method !== RendezvousService.method.attend);

/** Writes whose only effect is that the server has heard of the caller. */
const leavesNoTrace = ["TrialService.KeepTrialRun"];

describe("a write that is sent twice because its first answer was lost", () => {
	const unary = services.filter((service) => service !== RendezvousService);

	it("is known of every method that changes something", () => {
		assert.ok(writes.length >= 20, `${writes.length} writes`);
		const names = writes.map(({ parent, name }) => `${parent.name}.${name}`);
		assert.deepEqual(Object.keys(writeCases).sort(), names.sort());
	});

	for (const [name, prepare] of Object.entries(writeCases)) {
		it(`${name} leaves what one leaves, and is answered as one`, { timeout: 30_000 }, async () => {
			// Of its own: what the workers of another case leave changes rows later.
			const hasAccounts = name.startsWith("AuthService.");
			const withAccounts = hasAccounts ? await startServerWithAccounts() : undefined;
			const server = withAccounts ?? (await startTestServer());
			const look = async () => {
				// The audit log has a line of each time that a write came.
				const { audit_log: _, ...tables } = await readTables(server.dataDirectory);
				return tables;
			};
			const dropper: AnswerDropper<Tables> = await startAnswerDropper(server, unary, look, withAccounts?.ada);
			const wire = openConnection(dropper.address, { connectMs: 5_000, retryMs: 5_000 });
			after(() => wire.close());
			const write = await prepare(server, wire);
			const before = await look();
			const answer = await write();
			const { dropped } = dropper;
			assert.deepEqual(
				dropped.map(({ method }) => `${method.parent.name}.${method.name}`),
				[name],
			);
			assert.deepEqual(answer, dropped[0]?.answer);
			assert.deepEqual(await look(), dropped[0]?.state);
			if (!leavesNoTrace.includes(name)) {
				assert.notDeepEqual(dropped[0]?.state, before, "the write changed nothing, so that nothing was shown");
			}
		});
	}
});
