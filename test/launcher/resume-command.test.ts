import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { resumeCommand } from "../../src/launcher/resume-command.js";

describe("resumeCommand", () => {
	const trial = { trialId: 5, configPath: "conf.yaml", dataDirectory: "/job/.millrace" };

	it("goes on with the trial of the same file", () => {
		assert.equal(resumeCommand(trial, "/job"), "npx millrace run conf.yaml --trial 5");
		assert.equal(
			resumeCommand({ ...trial, configPath: "my jobs/a.yaml" }, "/job"),
			"npx millrace run 'my jobs/a.yaml' --trial 5",
		);
	});

	it("names the data directory if it is not the default, and the server instead if it was named", () => {
		assert.equal(
			resumeCommand({ ...trial, dataDirectory: "/my data" }, "/job"),
			"npx millrace run conf.yaml --trial 5 --data '/my data'",
		);
		assert.equal(
			resumeCommand({ ...trial, dataDirectory: "/x", server: "a:1" }, "/job"),
			"npx millrace run conf.yaml --trial 5 --server a:1",
		);
	});

	it("speaks TLS as it was told to", () => {
		const server = "a:1";
		const tls = { ca: "ca.pem", cert: "my cert.pem", key: "key.pem", serverName: "b" };
		assert.equal(
			resumeCommand({ ...trial, server, tls }, "/job"),
			"npx millrace run conf.yaml --trial 5 --server a:1 " +
				"--tls-ca ca.pem --tls-cert 'my cert.pem' --tls-key key.pem --tls-server-name b",
		);
		assert.equal(resumeCommand({ ...trial, tls: {} }, "/job"), "npx millrace run conf.yaml --trial 5 --tls");
	});
});
