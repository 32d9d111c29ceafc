import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { Client } from "../../src/sdk/index.js";
import { CertificateAuthority, pemFiles } from "../support/certificate-authority.js";
import { errorWith } from "../support/error-with.js";
import { experimentFolder, launchRecordingWorkers } from "../support/experiment-folder.js";
import { nodeWithTsx } from "../support/node-with-tsx.js";
import { runInProcess } from "../support/run-command-line.js";
import { runMillrace, startCommand, startMillrace } from "../support/start-command.js";
import { startTestServer } from "../support/start-test-server.js";
import { tempDir } from "../support/temp-dir.js";

const ca = new CertificateAuthority("Test CA");
const other = new CertificateAuthority("Other CA");
const server = ca.issue({ name: "gpu-box", hosts: ["127.0.0.1"] });
const old = ca.issue({ name: "old", hosts: ["127.0.0.1"], days: [-9, -2] });
const client = ca.issue({ name: "me" });
const files = pemFiles({
	...{ ca: ca.cert, other: other.cert, server: server.cert, serverKey: server.key, old: old.cert },
	...{ cert: client.cert, key: client.key, otherKey: other.issue({ name: "x" }).key },
});
const tls = { cert: files.server, key: files.serverKey };
const mutual = { ...tls, clientCa: files.ca };
const trustFlags = ["--tls-ca", files.ca];
const ownFlags = [...trustFlags, "--tls-cert", files.cert, "--tls-key", files.key];
const ownVariables = { MILLRACE_TLS_CA: files.ca, MILLRACE_TLS_CERT: files.cert, MILLRACE_TLS_KEY: files.key };

describe("millrace server --tls-cert", { timeout: 120_000 }, () => {
	for (const [flags, message] of [
		[
			["--tls-cert", "/nowhere.pem", "--tls-key", files.key],
			/^millrace: tls\.cert \(--tls-cert\) is \/nowhere\.pem, which cannot/,
		],
		[
			["--tls-cert", files.server, "--tls-key", files.otherKey],
			/^millrace: tls\.key \(--tls-key\) is \S+, which is not the key of the certificate in \S+server\.pem/,
		],
	] as const) {
		it(`exits 2, and starts nothing: ${message.source.slice(11, 70)}`, async () => {
			const data = join(tempDir(), "data");
			const { code, stdout, stderr } = await runMillrace(["server", "--port=0", "--data", data, ...flags]);
			assert.deepEqual([code, stdout], [2, ""]);
			assert.match(stderr, message);
			assert.equal(stderr.split("\n").length, 2, stderr);
			assert.equal(existsSync(data), false);
		});
	}

	it("serves those who show a certificate; each setting is a flag or a variable", async () => {
		const flags = ["--tls-cert", files.server, "--tls-key", files.serverKey];
		const env = { MILLRACE_SERVER_TLS_CERT: "/nowhere.pem", MILLRACE_SERVER_TLS_CLIENT_CA: files.ca };
		const command = startMillrace(["server", "--port=0", "--data", tempDir(), ...flags], { env });
		after(() => command.close());
		await command.writes("serving at");
		const address = /serving at (\S+),/.exec(command.stdout())?.[1] ?? "";
		const client = new Client({ server: address, tls: { ca: files.ca } });
		await assert.rejects(async () => await client.listModels(), errorWith("unauthenticated", /asks for a certificate/));
		await client.close();
		const asked = await runMillrace(["server", "info", "--server", address, ...trustFlags], { env: ownVariables });
		assert.deepEqual([asked.code, asked.stderr], [0, ""]);
		await command.close();
	});
});

describe("a command that TLS keeps from its server", { timeout: 120_000 }, () => {
	for (const [title, options, flags, message] of [
		[
			"trusts another CA",
			tls,
			["--tls-ca", files.other],
			/issued by CN=Test CA, and this client trusts only CN=Other CA; give .*--tls-ca\)$/,
		],
		[
			"trusts public CAs only",
			tls,
			["--tls"],
			/issued by CN=Test CA, and this client trusts only the public CAs; give/,
		],
		[
			"expects another name",
			tls,
			[...trustFlags, "--tls-server-name", "a.example"],
			/is for 127\.0\.0\.1, and not for a\.example; connect by .*--tls-server-name\)$/,
		],
		[
			"meets an expired certificate",
			{ ...tls, cert: files.old },
			trustFlags,
			/\(CN=old\) expired on \d{4}-\S+ \S+; the server needs a new one$/,
		],
		[
			"has no certificate of its own",
			mutual,
			trustFlags,
			/asks for a certificate of this client, which has none; give .*--tls-key\)$/,
		],
		["speaks plain text", tls, [], /speaks TLS, but this client speaks plain text; give .*--tls-ca\), or tls: true/],
		[
			"meets plain text",
			undefined,
			trustFlags,
			/speaks plain text, but this client speaks TLS; start the server with --tls-cert/,
		],
		[
			"has a file that is not there",
			tls,
			["--tls-ca", "/nowhere.pem"],
			/^millrace: --tls-ca is \/nowhere\.pem, which cannot be read/,
		],
		[
			"has half a pair",
			tls,
			["--tls-cert", files.cert],
			/^millrace: --tls-cert is given without --tls-key; give both files$/,
		],
		[
			"has the other half of a pair",
			tls,
			["--tls-key", files.key],
			/^millrace: --tls-key is given without --tls-cert; give both files$/,
		],
	] as const) {
		it(`exits 2 and says so in a sentence where it ${title}`, async () => {
			const { address } = await startTestServer(options === undefined ? {} : { tls: options });
			const end = await runInProcess(["experiment", "list", "--server", address, ...flags]);
			assert.deepEqual([end.code, end.stdout], [2, ""], end.stderr);
			const [line, rest, ...more] = end.stderr.split("\n");
			assert.match(line ?? "", message);
			assert.match(line ?? "", /^millrace: /);
			assert.deepEqual([rest, more], ["", []]);
		});
	}
});

describe("a run over mutual TLS", { timeout: 240_000 }, () => {
	/** A server that wants a certificate, and a client that has one. */
	async function startRemote() {
		const { address } = await startTestServer({ tls: mutual });
		const sdk = new Client({ server: address, tls: { ca: files.ca, cert: files.cert, key: files.key } });
		after(() => sdk.close());
		return { address, sdk };
	}

	const worker = fileURLToPath(new URL("../support/workers/printing-worker.ts", import.meta.url));
	const options = JSON.stringify({ batches: 3, lines: 2 });
	const lines = Array.from({ length: 6 }, (_, i) => `line ${i}`);

	async function linesOf(sdk: Client, trialId: number): Promise<string[]> {
		const logs = await sdk.getTrial(trialId).iterLogs();
		return logs.map(({ text }) => text).filter((text) => text.startsWith("line "));
	}

	it("is what the workers of millrace run have from its flags, in another directory", async () => {
		const { address, sdk } = await startRemote();
		const folder = experimentFolder({
			entrypoint: [...launchRecordingWorkers.slice(0, -1), worker],
			environment: { environment_variables: { WORKER_OPTIONS: options } },
		});
		const command = folder.start(["--server", address, ...ownFlags]);
		const end = await command.ended;
		assert.equal(end.code, 0, end.stderr);
		const trialId = Number(/trial (\d+), server/.exec(end.stderr)?.[1]);
		assert.equal((await sdk.getTrial(trialId)).state, "COMPLETED");
		assert.deepEqual(await linesOf(sdk, trialId), lines);
		assert.equal(existsSync(folder.data), false);
	});

	it("is what a worker without a launcher has from the environment, for its membership and its log too", async () => {
		const { address, sdk } = await startRemote();
		const experiment = await sdk.createExperiment({ name: "printing" });
		const { id } = await sdk.createTrial(experiment.id);
		const [node, ...args] = nodeWithTsx;
		const env = {
			...ownVariables,
			MILLRACE_SERVER: address,
			MILLRACE_TRIAL_ID: String(id),
			WORKER_OPTIONS: options,
		};
		const end = await startCommand(node, [...args, worker], { env }).ended;
		assert.equal(end.code, 0, end.stderr);
		assert.equal((await sdk.getTrial(id)).state, "COMPLETED");
		assert.deepEqual(await linesOf(sdk, id), lines);
	});

	it("is what millrace launch has from its flags, for the workers' lines and the run's state", async () => {
		const { address, sdk } = await startRemote();
		const experiment = await sdk.createExperiment({ name: "printing" });
		const { id } = await sdk.createTrial(experiment.id);
		const command = [...nodeWithTsx, worker];
		const flags = ["--server", address, "--trial", String(id), ...ownFlags];
		const env = { WORKER_OPTIONS: options };
		const end = await runMillrace(["launch", ...flags, "--", ...command], { env });
		assert.equal(end.code, 0, end.stderr);
		assert.equal((await sdk.getTrial(id)).state, "COMPLETED");
		assert.deepEqual(await linesOf(sdk, id), lines);
	});

	it("is part of the commands that millrace trial create prints", async () => {
		const { address } = await startTestServer({ tls: mutual });
		const folder = experimentFolder({ entrypoint: "true" });
		const { code, stderr } = await runMillrace(["trial", "create", folder.path, "--server", address, ...ownFlags]);
		assert.equal(code, 0, stderr);
		const flags = `--server ${address} ${ownFlags.join(" ")}`;
		assert.match(stderr, new RegExp(`npx millrace run ${folder.path} --trial \\d+ ${flags}\\n`));
		assert.match(stderr, new RegExp(`npx millrace launch .* ${flags} --trial \\d+ -- WORKER\\n`));
		const variables = Object.entries({ MILLRACE_TLS: "1", ...ownVariables }).map(([name, value]) => `${name}=${value}`);
		assert.ok(stderr.includes(`with MILLRACE_SERVER=${address} ${variables.join(" ")} MILLRACE_TRIAL_ID=`), stderr);
	});

	it("does not concern an embedded server, nor the workers of a run on it", async () => {
		const folder = experimentFolder({
			entrypoint: [...launchRecordingWorkers.slice(0, -1), worker],
			environment: { environment_variables: { WORKER_OPTIONS: options } },
		});
		const ofServer = { MILLRACE_SERVER_TLS_CERT: files.server, MILLRACE_SERVER_TLS_KEY: files.serverKey };
		const end = await folder.start([], { ...ownVariables, ...ofServer }).ended;
		assert.equal(end.code, 0, end.stderr);
		await folder.serverEnds();
	});
});
