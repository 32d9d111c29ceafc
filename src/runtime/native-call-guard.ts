const busyIndex = 0;
const stoppedIndex = 1;

/** Longer than an inference should take; a worker that is to go down must go down some time. */
const maxWaitMs = 60_000;

const guards = new Set<Int32Array>();

/**
 * ONNX Runtime's binding aborts the whole process if its thread is torn down during a call. A guard is
 * memory that both threads see: the model's thread enters it for each call, and the process does not exit
 * before the call has ended.
 */
export function createNativeCallGuard(): Int32Array {
	return new Int32Array(new SharedArrayBuffer(2 * Int32Array.BYTES_PER_ELEMENT));
}

/** Lets the exit of this process wait for the calls of a thread, until the returned function is called. */
export function holdExit(guard: Int32Array): () => void {
	if (guards.size === 0) process.on("exit", waitForCalls);
	guards.add(guard);
	return () => {
		guards.delete(guard);
		if (guards.size === 0) process.off("exit", waitForCalls);
	};
}

/** Makes a call inside the guard. Once the process exits, it throws instead. */
export async function guarded<R>(guard: Int32Array, call: () => Promise<R>): Promise<R> {
	// First busy, then the question: the other side does it the other way round, so one of them sees the other.
	Atomics.store(guard, busyIndex, 1);
	try {
		if (Atomics.load(guard, stoppedIndex) === 1) throw new Error("the process is exiting");
		return await call();
	} finally {
		Atomics.store(guard, busyIndex, 0);
		Atomics.notify(guard, busyIndex);
	}
}

function waitForCalls(): void {
	const deadline = Date.now() + maxWaitMs;
	for (const guard of guards) Atomics.store(guard, stoppedIndex, 1);
	for (const guard of guards) Atomics.wait(guard, busyIndex, 1, Math.max(0, deadline - Date.now()));
}
