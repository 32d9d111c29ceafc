import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { parseAllDocuments } from "yaml";
import { exitCodes } from "../src/exit-codes.js";
import { placeFromEnvironment } from "../src/runtime/distributed/environment.js";

const file = fileURLToPath(new URL("../docs/kubernetes.yaml", import.meta.url));
const validator = fileURLToPath(
	new URL("../node_modules/.cache/kubernetes-validate/bin/kubernetes-validate", import.meta.url),
);

interface Container {
	readonly name: string;
	readonly command: readonly string[];
	readonly env?: readonly { readonly name: string; readonly value: string }[];
	readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string }[];
}

/** What the tests read of a manifest. */
interface Resource {
	readonly kind: string;
	readonly metadata: { readonly name: string };
	readonly spec: {
		readonly replicas?: number;
		readonly completions?: number;
		readonly parallelism?: number;
		readonly completionMode?: string;
		readonly ports?: readonly { readonly port: number }[];
		readonly podFailurePolicy?: {
			readonly rules: readonly { readonly action: string; readonly onExitCodes?: { readonly values: number[] } }[];
		};
		readonly template?: { readonly spec: { readonly containers: readonly [Container] } };
	};
}

const resources = parseAllDocuments(readFileSync(file, "utf8")).map((document) => document.toJS() as Resource);

function specOf(kind: string): Resource["spec"] {
	const found = resources.find((resource) => resource.kind === kind);
	assert.ok(found, kind);
	return found.spec;
}

const containerOf = (kind: string) => specOf(kind).template?.spec.containers[0];

describe("docs/kubernetes.yaml", () => {
	const skip = existsSync(validator) ? false : "no kubernetes-validate; test/install-engines.sh installs it";

	it("keeps to the schemas of Kubernetes", { skip, timeout: 60_000 }, () => {
		const { status, stdout, stderr } = spawnSync(validator, ["--strict", file], { encoding: "utf8", timeout: 50_000 });
		assert.equal(status, 0, stdout + stderr);
		assert.equal(stdout.match(/ passed /g)?.length, resources.length);
	});

	it("gives each pod of the job its place", () => {
		const { completions = 0, parallelism, completionMode } = specOf("Job");
		assert.deepEqual([completionMode, parallelism], ["Indexed", completions]);
		const environment = Object.fromEntries((containerOf("Job")?.env ?? []).map(({ name, value }) => [name, value]));
		for (let index = 0; index < completions; index++) {
			// What Kubernetes itself sets in the pods of an Indexed Job.
			const place = placeFromEnvironment({ ...environment, JOB_COMPLETION_INDEX: String(index) });
			const alone = { localRank: 0, localSize: 1, crossRank: index, crossSize: completions };
			assert.deepEqual(place, { rank: index, size: completions, ...alone });
		}
		const service = resources.find(({ kind }) => kind === "Service");
		const server = `${service?.metadata.name}:${service?.spec.ports?.[0]?.port}`;
		assert.equal(environment.MILLRACE_SERVER, server);
		assert.match(environment.MILLRACE_TRIAL_ID ?? "", /^\d+$/);
	});

	it("starts one server, and counts a preempted pod as no failure", () => {
		assert.equal(specOf("Deployment").replicas, 1);
		const [rule] = specOf("Job").podFailurePolicy?.rules ?? [];
		assert.deepEqual([rule?.action, rule?.onExitCodes?.values], ["Ignore", [exitCodes.preempted]]);
	});

	it("mounts the storage under the same path in the server and the workers", () => {
		const paths = ["Deployment", "Job"].map(
			(kind) => containerOf(kind)?.volumeMounts.find(({ name }) => name === "storage")?.mountPath,
		);
		assert.ok(paths[0]);
		assert.equal(paths[0], paths[1]);
	});
});
