import { create } from "@bufbuild/protobuf";
import { MillraceError, messageOf } from "../errors.js";
import { type ReducerPartial, ReducerPartialSchema, type StoredPartial } from "../gen/millrace/v1/progress_pb.js";
import { assertKnownOptions } from "../sdk/assert-options.js";
import { fromJsonText, type JsonObject, type JsonValue, toJsonText } from "../sdk/json.js";
import { assertMetricGroup } from "../sdk/metric-group.js";

/**
 * Gathers a metric over all workers: each gathers in its own object, and the results of all of them are
 * brought together at the end. `P` is what a worker hands over. Python: MetricReducer
 *
 * @example
 * ```ts
 * import { BatchProcessor, type MetricReducer } from "millrace/runtime";
 *
 * class Sum implements MetricReducer<number> {
 * 	#sum = 0;
 * 	add(value: number) {
 * 		this.#sum += value;
 * 	}
 * 	reset() {
 * 		this.#sum = 0;
 * 	}
 * 	perSlotReduce() {
 * 		return this.#sum;
 * 	}
 * 	crossSlotReduce(perSlot: readonly number[]) {
 * 		return perSlot.reduce((a, b) => a + b, 0);
 * 	}
 * }
 *
 * class Adder extends BatchProcessor<number[]> {
 * 	readonly #sum = this.context.wrapReducer(new Sum(), { name: "sum", group: "inference" });
 *
 * 	override processBatch(batch: number[]) {
 * 		for (const value of batch) {
 * 			this.#sum.add(value);
 * 		}
 * 	}
 * }
 * ```
 */
export interface MetricReducer<P extends JsonValue = JsonValue> {
	/** Forgets everything gathered. Called once, by wrapReducer. */
	reset(): void;
	/**
	 * Returns what this worker has gathered since `reset`. Called before each commit; it must not change what
	 * is gathered. Python: per_slot_reduce
	 */
	perSlotReduce(): P;
	/**
	 * Returns the metric of what all workers of all runs have handed over, ordered by run and rank; a worker
	 * without a batch hands over nothing. Called once, on rank 0. Python: cross_slot_reduce
	 */
	crossSlotReduce(perSlot: readonly P[]): JsonValue;
}

/** Makes a metric of all values that all workers gave, in data set order. */
export type ReducerFunction<V extends JsonValue = JsonValue> = (values: readonly V[]) => JsonValue;

/** What wrapReducer returns for a function. */
export interface FunctionReducer<V extends JsonValue = JsonValue> {
	/**
	 * Adds a value. It belongs to the batch in process, or to the last one between batches.
	 *
	 * Errors: failed_precondition before the worker's first batch and after the last commit;
	 * invalid_argument if the value is not JSON.
	 */
	update(value: V): void;
}

/** The options of wrapReducer. */
export interface WrapReducerOptions {
	/**
	 * The metric's name. Default: none; the reducer must then return an object of metrics by name, which can be
	 * checked only when all records are done.
	 */
	name?: string | undefined;
	/** The metric group that the result is reported to. Default "validation". */
	group?: string | undefined;
}

/** What all reducers of a trial gave. */
export interface ReducedMetrics {
	/** All metrics, by name. */
	readonly results: JsonObject;
	/** The same metrics, by their group. Empty if nothing was reduced. */
	readonly byGroup: ReadonlyMap<string, JsonObject>;
}

interface Wrapped {
	readonly key: string;
	readonly name: string | undefined;
	readonly group: string;
	/** How messages call it. */
	readonly label: string;
	readonly isFunction: boolean;
	/** Takes what is to be committed, if anything. */
	take(): ReducerPartial["value"] | undefined;
	/** Brings the partials together, which are in data set order, then run and rank. */
	reduce(stored: readonly StoredPartial[]): JsonValue;
}

/** The reducers of one processor. */
export class ReducerRegistry {
	readonly #wrapped: Wrapped[] = [];
	#batchFirstRecord: number | undefined;
	#isEnded = false;

	wrap<P extends JsonValue, R extends MetricReducer<P>>(reducer: R & MetricReducer<P>, options?: WrapReducerOptions): R;
	wrap<V extends JsonValue>(reducer: ReducerFunction<V>, options?: WrapReducerOptions): FunctionReducer<V>;
	/**
	 * Adds a reducer and resets it. All workers must add the same ones in the same order.
	 *
	 * Errors: invalid_argument for a name that is taken, empty or begins with "#", for a group that is
	 * empty or has a dot, and for what is no reducer.
	 */
	wrap(reducer: MetricReducer | ReducerFunction, options: WrapReducerOptions = {}): MetricReducer | FunctionReducer {
		assertKnownOptions(options, "wrapReducer", ["name", "group"]);
		const { name, group = "validation" } = options;
		this.#assertName(name);
		assertMetricGroup(group);
		const isFunction = typeof reducer === "function";
		const base = { key: name ?? `#${this.#wrapped.length}`, name, group, label: labelOf(reducer, name), isFunction };
		if (isFunction) return this.#wrapFunction(reducer, base);
		assertReducer(reducer, base.label);
		attempt(base.label, "reset", () => reducer.reset());
		this.#wrapped.push({
			...base,
			take: () => ({
				case: "slotJson",
				value: textOf(base.label, "perSlotReduce", () => reducer.perSlotReduce()),
			}),
			reduce: (stored) =>
				jsonOf(base.label, "crossSlotReduce", () =>
					reducer.crossSlotReduce(stored.map((partial) => fromJsonText(partial.valueJson))),
				),
		});
		return reducer;
	}

	/** Says that the batch which begins with this record is processed from now on. */
	beginBatch(firstRecord: number): void {
		this.#batchFirstRecord = firstRecord;
	}

	/** Takes what the reducers gathered, for the next commit: nothing before the worker's first batch. */
	takePartials(): ReducerPartial[] {
		if (this.#batchFirstRecord === undefined) return [];
		return this.#wrapped.flatMap(({ key, take }) => {
			const value = take();
			return value === undefined ? [] : [create(ReducerPartialSchema, { reducer: key, value })];
		});
	}

	/** Refuses further values: after the last commit they would be lost. */
	end(): void {
		this.#isEnded = true;
	}

	/**
	 * Reduces what all workers of all runs of the trial have committed. A reducer for which nothing is
	 * stored gives no metric; what is stored for a reducer that is no longer there is left alone.
	 *
	 * Errors: invalid_argument if a reducer with a name gives an object, one without a name something else,
	 * or two the same metric, or what is not JSON; failed_precondition if a function has become a
	 * MetricReducer since or the other way round; `unknown` with its cause if it throws.
	 */
	reduce(stored: readonly StoredPartial[]): ReducedMetrics {
		const results: JsonObject = {};
		const byGroup = new Map<string, JsonObject>();
		for (const reducer of this.#wrapped) {
			const own = stored.filter((partial) => partial.reducer === reducer.key).sort(compareStored);
			if (own.length === 0) continue;
			if (own.some((partial) => (partial.firstRecord !== undefined) !== reducer.isFunction)) {
				throw new MillraceError(
					"failed_precondition",
					`${reducer.label} is ${reducer.isFunction ? "a function" : "a MetricReducer"}, but an earlier run ` +
						"committed partials of the other kind under its name: give it another name",
				);
			}
			const metrics = metricsOf(reducer, reducer.reduce(own));
			const group = byGroup.get(reducer.group) ?? {};
			byGroup.set(reducer.group, group);
			for (const [metric, value] of Object.entries(metrics)) {
				if (Object.hasOwn(results, metric)) {
					throw new MillraceError(
						"invalid_argument",
						`${reducer.label} gives the metric "${metric}", which another reducer gives too: rename one of them`,
					);
				}
				results[metric] = value;
				group[metric] = value;
			}
		}
		return { results, byGroup };
	}

	#wrapFunction(reduce: ReducerFunction, base: Omit<Wrapped, "take" | "reduce">): FunctionReducer {
		const gathered = new Map<number, string[]>();
		this.#wrapped.push({
			...base,
			take: () => {
				if (gathered.size === 0) return undefined;
				const batches = [...gathered].map(([firstRecord, values]) => ({
					firstRecord: BigInt(firstRecord),
					valuesJson: `[${values.join(",")}]`,
				}));
				gathered.clear();
				return create(ReducerPartialSchema, { value: { case: "recordValues", value: { batches } } }).value;
			},
			reduce: (stored) =>
				jsonOf(base.label, "the function", () =>
					reduce(stored.flatMap((partial) => fromJsonText(partial.valueJson) as JsonValue[])),
				),
		});
		return {
			update: (value) => {
				const firstRecord = this.#batchFirstRecord;
				if (firstRecord === undefined || this.#isEnded) {
					const when = this.#isEnded ? "after the last commit" : "before the first batch";
					throw new MillraceError(
						"failed_precondition",
						`${base.label}: update was called ${when}: call it in processBatch`,
					);
				}
				const text = toJsonText(value, `${base.label}: the value`);
				const values = gathered.get(firstRecord);
				if (values === undefined) gathered.set(firstRecord, [text]);
				else values.push(text);
			},
		};
	}

	#assertName(name: string | undefined): void {
		if (name === undefined) return;
		if (typeof name !== "string" || name === "" || name.startsWith("#")) {
			throw new MillraceError(
				"invalid_argument",
				`a reducer's name is ${JSON.stringify(name)}: give a text that is not empty and does not begin with "#"`,
			);
		}
		if (this.#wrapped.some((other) => other.name === name)) {
			throw new MillraceError("invalid_argument", `there is a reducer "${name}" already: give each its own name`);
		}
	}
}

/** Runs user code, so that its error names the reducer and what was called. */
function attempt<R>(label: string, method: string, call: () => R): R {
	try {
		return call();
	} catch (error) {
		throw new MillraceError("unknown", `${label}: ${method} threw: ${messageOf(error)}`, { cause: error });
	}
}

function textOf(label: string, method: string, call: () => JsonValue): string {
	return toJsonText(attempt(label, method, call), `${label}: the result of ${method}`);
}

/** The result as every rank and every reader of the metrics gets it. */
function jsonOf(label: string, method: string, call: () => JsonValue): JsonValue {
	return fromJsonText(textOf(label, method, call));
}

function metricsOf(reducer: Wrapped, reduced: JsonValue): JsonObject {
	const isRecord = typeof reduced === "object" && reduced !== null && !Array.isArray(reduced);
	if (reducer.name !== undefined) {
		if (!isRecord) return { [reducer.name]: reduced };
		throw new MillraceError(
			"invalid_argument",
			`${reducer.label} gave an object: a reducer with a name gives one metric; leave the name out to give several`,
		);
	}
	if (isRecord) return reduced;
	throw new MillraceError(
		"invalid_argument",
		`${reducer.label} gave ${JSON.stringify(reduced)}: without a name it must give an object of metrics`,
	);
}

function labelOf(reducer: MetricReducer | ReducerFunction, name: string | undefined): string {
	const quoted = name === undefined ? "" : ` "${name}"`;
	if (typeof reducer === "function") return `reducer function${reducer.name === "" ? "" : ` ${reducer.name}`}${quoted}`;
	const className = reducer?.constructor?.name ?? "Object";
	return `reducer ${className}${quoted}`;
}

function assertReducer(reducer: MetricReducer, label: string): void {
	for (const method of ["reset", "perSlotReduce", "crossSlotReduce"] as const) {
		if (typeof reducer?.[method] !== "function") {
			throw new MillraceError(
				"invalid_argument",
				`${label} has no method ${method}: wrapReducer takes a MetricReducer or a function`,
			);
		}
	}
}

function compareStored(a: StoredPartial, b: StoredPartial): number {
	return (
		Number((a.firstRecord ?? 0n) - (b.firstRecord ?? 0n)) ||
		a.trialRunId - b.trialRunId ||
		a.rank - b.rank ||
		a.part - b.part
	);
}
