import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { readdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { after, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { Worker } from "node:worker_threads";
import { InferenceModel, type InferenceModelOptions } from "../../src/runtime/inference-model.js";
import type { ModelSource } from "../../src/runtime/model-source.js";
import { type Tensor, tensor } from "../../src/runtime/tensor.js";
import { tempDir } from "../support/temp-dir.js";

const fixture = (name: string) => fileURLToPath(new URL(`../support/fixtures/${name}.onnx`, import.meta.url));

function ones(n: number): Float32Array {
	return Float32Array.from({ length: n * n }, (_, i) => (i % (n + 1) === 0 ? 1 : 0));
}

describe("InferenceModel", { timeout: 60_000 }, () => {
	const open: InferenceModel[] = [];
	after(() => Promise.all(open.map((model) => model.close())));

	function openModel(source: ModelSource, options?: InferenceModelOptions): InferenceModel {
		const model = new InferenceModel(source, options);
		open.push(model);
		return model;
	}

	it("tells its inputs and outputs once it is loaded", async () => {
		const model = openModel(fixture("double"));
		assert.throws(() => model.inputs, { code: "failed_precondition" });
		await model.loaded;
		assert.deepEqual(model.inputs, [{ name: "x", type: "float32", shape: ["n", 2] }]);
		assert.deepEqual(model.outputs, [{ name: "y", type: "float32", shape: ["n", 2] }]);
		assert.equal(model.device, "cpu");
		assert.equal(model.name, "double.onnx");
	});

	it("runs with a single tensor, by name, and from bytes", async () => {
		const x = tensor(Float32Array.of(1, 2, 3, 4), [2, 2]);
		for (const source of [
			fixture("double"),
			new URL(`file://${fixture("double")}`),
			await readFile(fixture("double")),
		]) {
			const model = openModel(source, { threads: 1 });
			assert.deepEqual(await model.run(x), { y: tensor(Float32Array.of(2, 4, 6, 8), [2, 2]) });
			assert.deepEqual(await model.run({ x }), { y: tensor(Float32Array.of(2, 4, 6, 8), [2, 2]) });
		}
	});

	it("keeps 64-bit integers exact", async () => {
		const model = openModel(fixture("identity-int64"));
		const { y } = await model.run(tensor(BigInt64Array.of(2n ** 62n + 1n, -1n)));
		assert.deepEqual(y, tensor(BigInt64Array.of(2n ** 62n + 1n, -1n)));
	});

	it("computes several runs in their order", async () => {
		const model = openModel(fixture("double"));
		const runs = Array.from({ length: 20 }, (_, i) => model.run(tensor(Float32Array.of(i, 0), [1, 2])));
		const results = await Promise.all(runs);
		assert.deepEqual(
			results.map(({ y }) => y?.data[0]),
			Array.from({ length: 20 }, (_, i) => 2 * i),
		);
	});

	it("copies its inputs, also while it is loading and where they are a part of a buffer", async () => {
		const model = openModel(fixture("double"));
		for (let round = 0; round < 2; round++) {
			const buffer = Float32Array.of(9, 1, 2, 9);
			const running = model.run(tensor(buffer.subarray(1, 3), [1, 2]));
			buffer.fill(0);
			assert.deepEqual([...((await running).y?.data ?? [])], [2, 4]);
			assert.equal(buffer.length, 4);
		}
	});

	it("moves its inputs when asked to, but not what is a part of a larger buffer", async () => {
		const model = openModel(fixture("double"));
		await model.loaded;
		const whole = Float32Array.of(1, 2);
		const result = await model.run(tensor(whole, [1, 2]), { transfer: true });
		assert.deepEqual([...(result.y?.data ?? [])], [2, 4]);
		assert.equal(whole.length, 0);
		const buffer = Float32Array.of(9, 1, 2, 9);
		await model.run(tensor(buffer.subarray(1, 3), [1, 2]), { transfer: true });
		assert.deepEqual([...buffer], [9, 1, 2, 9]);
	});

	it("says that inputs were moved when they are given again", async () => {
		const model = openModel(fixture("double"));
		const x = tensor(Float32Array.of(1, 2), [1, 2]);
		await model.run(x, { transfer: true });
		await assert.rejects(model.run(x), {
			code: "invalid_argument",
			message: /\[1, 2\], but 0 values: were they moved/,
		});
	});

	it("names the input, the wanted and the given shape when they differ", async () => {
		const model = openModel(fixture("double"));
		const wrong = async (input: Parameters<InferenceModel["run"]>[0], message: string) =>
			assert.rejects(model.run(input), { code: "invalid_argument", message });
		await wrong(
			tensor(new Float32Array(12), [3, 4]),
			'input "x" of double.onnx wants float32 [n, 2], but got float32 [3, 4]',
		);
		await wrong(tensor(new Float32Array(2), [2]), 'input "x" of double.onnx wants float32 [n, 2], but got float32 [2]');
		await wrong(
			tensor(new Float64Array(2), [1, 2]),
			'input "x" of double.onnx wants float32 [n, 2], but got float64 [1, 2]',
		);
		await wrong({}, 'input "x" of double.onnx is missing: it takes float32 [n, 2]');
		await wrong(
			{ x: [[1, 2]] as never },
			'input "x" of double.onnx wants float32 [n, 2], but got no tensor: make one with context.toDevice',
		);
		const x = tensor(new Float32Array(2), [1, 2]);
		await wrong({ x, z: x }, 'double.onnx has no input "z": it takes the input "x"');
		await wrong({ x: { ...x, dims: [2, 2] } }, 'input "x" of double.onnx has the shape [2, 2], but 2 values');
	});

	it("lets the event loop turn during an inference of half a second", async () => {
		const model = openModel(fixture("slow"), { threads: 1 });
		await model.loaded;
		let n = 256;
		let tookMs = 0;
		let turns = 0;
		// The size is found by trying, since machines differ.
		for (; tookMs < 300; n += 256) {
			let isRunning = true;
			turns = 0;
			const turn = () => {
				turns++;
				if (isRunning) setImmediate(turn);
			};
			const x = tensor(ones(n), [n, n]);
			const begin = performance.now();
			setImmediate(turn);
			await model.run(x, { transfer: true });
			tookMs = performance.now() - begin;
			isRunning = false;
		}
		assert.ok(tookMs >= 300, `the inference took ${tookMs} ms`);
		assert.ok(turns > 1000, `the event loop turned ${turns} times in ${tookMs} ms`);
	});

	it("refuses a file that is not ONNX, one that is not there, and wrong threads", async () => {
		const directory = tempDir();
		const file = path.join(directory, "notes.onnx");
		await writeFile(file, "these are notes");
		const isNotOnnx = { code: "invalid_argument", message: new RegExp(`^${file} is no ONNX model`) };
		const model = openModel(file);
		await assert.rejects(model.loaded, isNotOnnx);
		await assert.rejects(model.run(tensor([1])), isNotOnnx);
		assert.throws(() => model.inputs, isNotOnnx);
		await assert.rejects(openModel(Uint8Array.of(1, 2, 3)).loaded, { message: /^the model is no ONNX model/ });
		await assert.rejects(openModel(`${file}.gone`).loaded, {
			code: "not_found",
			message: /notes\.onnx\.gone not found/,
		});
		await assert.rejects(openModel(file, { threads: 0 }).loaded, { code: "invalid_argument", message: /threads is 0/ });
	});

	it("tells who gives arrays to make tensors of them", async () => {
		const model = openModel(fixture("double"));
		for (const input of [[[1, 2]], Float32Array.of(1, 2), 3]) {
			const given = typeof input === "number" ? "a number" : `an array (${input.constructor.name})`;
			await assert.rejects(model.run(input as unknown as Tensor), {
				code: "invalid_argument",
				message: `double.onnx takes the input "x", but got ${given}: make tensors of it with context.toDevice`,
			});
		}
	});

	it("shows in the stack of an error who made the model, or who runs it", async () => {
		const load = openModel("/nothing.onnx").loaded;
		await assert.rejects(load, (error: Error) => /nothing.*\n +at .*inference-model\.test/.test(error.stack ?? ""));
		const model = openModel(fixture("double"));
		await model.loaded;
		const run = async () => await model.run({});
		await assert.rejects(run(), (error: Error) => /at .*inference-model\.test/.test(error.stack ?? ""));
	});

	it("rejects all that waits when its thread dies", async () => {
		const started = once(process, "worker") as Promise<[Worker]>;
		const model = openModel(fixture("double"));
		const [thread] = await started;
		await model.loaded;
		const x = tensor(Float32Array.of(1, 2), [1, 2]);
		thread.postMessage(null);
		const awaitRun = async () => await model.run(x);
		const runs = [awaitRun(), awaitRun()];
		const isDead = { code: "internal", message: /^the thread of double\.onnx ended unexpectedly: Cannot read/ };
		for (const run of await Promise.allSettled(runs)) {
			assert.ok(run.status === "rejected" && run.reason instanceof Error);
			assert.throws(() => {
				throw run.reason;
			}, isDead);
			assert.match(run.reason.stack ?? "", /at async awaitRun .*inference-model\.test/);
		}
		await assert.rejects(model.run(x), isDead);
		await model.close();
	});

	it("finishes what is under way when it is closed, and refuses more", async () => {
		const model = openModel(fixture("double"));
		await model.loaded;
		const running = model.run(tensor(Float32Array.of(1, 2), [1, 2]));
		const closing = model.close();
		await assert.rejects(model.run(tensor(Float32Array.of(1, 2), [1, 2])), { code: "failed_precondition" });
		assert.deepEqual([...((await running).y?.data ?? [])], [2, 4]);
		await closing;
		await model.close();
	});

	it("writes a trace when it is closed", async () => {
		const directory = tempDir();
		const profileDirectory = path.join(directory, "trace");
		const model = openModel(fixture("double"), { profileDirectory: Promise.resolve(profileDirectory) });
		await model.run(tensor(Float32Array.of(1, 2), [1, 2]));
		await model.close();
		const [file = ""] = await readdir(profileDirectory);
		assert.match(file, /^double_.*\.json$/);
		assert.ok(Array.isArray(JSON.parse(await readFile(path.join(profileDirectory, file), "utf8"))));
	});

	describe("in a process of its own", () => {
		async function runScript(body: string): Promise<{ stdout: string; stderr: string }> {
			const source = fileURLToPath(new URL("../../src/runtime/", import.meta.url));
			const script =
				`import { InferenceModel } from ${JSON.stringify(`${source}inference-model.js`)};` +
				`import { tensor } from ${JSON.stringify(`${source}tensor.js`)};` +
				`const fixture = (name) => ${JSON.stringify(path.dirname(fixture("x")))} + "/" + name + ".onnx";${body}`;
			const args = ["--import", "tsx", "--input-type=module", "--eval", script];
			return promisify(execFile)(process.execPath, args, { timeout: 20_000 });
		}

		it("does not keep the process alive when it is idle", async () => {
			const { stdout } = await runScript(
				'const m = new InferenceModel(fixture("double")); await m.loaded; await m.run(tensor([1, 2], [1, 2])); console.log("idle");',
			);
			assert.equal(stdout, "idle\n");
		});

		it("keeps the process alive while it loads and runs", async () => {
			const { stdout } = await runScript(
				'new InferenceModel(fixture("double")).run(tensor([1, 2], [1, 2])).then(({ y }) => console.log(...y.data));',
			);
			assert.equal(stdout, "2 4\n");
		});

		it("lets an inference end before the process exits, with the code it was to have", async () => {
			const n = 768;
			const body =
				`const m = new InferenceModel(fixture("slow"), { threads: 1 }); await m.loaded;` +
				`m.run(tensor(new Float32Array(${n * n}), [${n}, ${n}])); setTimeout(() => process.exit(3), 60);`;
			await assert.rejects(runScript(body), { code: 3, signal: null });
		});

		it("does not end the process when nobody awaits a failed load", async () => {
			const { stdout, stderr } = await runScript(
				'const m = new InferenceModel("/nothing.onnx"); setTimeout(() => console.log("alive"), 1); while (true) { try { m.inputs } catch (e) { if (e.code === "not_found") break } await new Promise((r) => setImmediate(r)); } console.log("failed");',
			);
			assert.match(stdout, /failed/);
			assert.doesNotMatch(stderr, /Unhandled/i);
		});
	});
});
