import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { after, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import type { DescService } from "@bufbuild/protobuf";
import { RendezvousService } from "../../src/gen/millrace/v1/rendezvous_service_pb.js";
import { openConnection } from "../../src/sdk/connection.js";
import { type AnswerDropper, isWrite, startAnswerDropper } from "../support/answer-dropper.js";
import { readTables, type Tables } from "../support/read-tables.js";
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
			const server = await startTestServer();
			const look = () => readTables(server.dataDirectory);
			const dropper: AnswerDropper<Tables> = await startAnswerDropper(server, unary, look);
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
