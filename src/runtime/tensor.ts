import { MillraceError } from "../errors.js";

/** The arrays that hold the elements of each tensor type. float16 is held as raw bits, bool as 0 and 1. */
export interface TensorDataMap {
	float32: Float32Array;
	float64: Float64Array;
	float16: Uint16Array;
	int8: Int8Array;
	int16: Int16Array;
	int32: Int32Array;
	int64: BigInt64Array;
	uint8: Uint8Array;
	uint16: Uint16Array;
	uint32: Uint32Array;
	uint64: BigUint64Array;
	bool: Uint8Array;
	string: readonly string[];
}

/** The element type of a tensor, in ONNX Runtime's names. */
export type TensorType = keyof TensorDataMap;

/** A tensor of one given element type. */
export interface TypedTensor<K extends TensorType> {
	readonly type: K;
	/** The size of each dimension; empty for a single value. */
	readonly dims: readonly number[];
	/** The elements in row-major order. */
	readonly data: TensorDataMap[K];
}

/** What models take and give. Asking for its `type` tells TypeScript what `data` is. */
export type Tensor<T extends TensorType = TensorType> = { [K in T]: TypedTensor<K> }[T];

/** How a value is to be made a tensor. */
export interface ToTensorOptions {
	/** The dimensions; one of them may be -1 and follows from the others. Default: those of the value. */
	dims?: readonly number[] | undefined;
	/** The element type. Default: that of a typed array; int64 for bigints, bool for booleans, float32 for numbers. */
	type?: TensorType | undefined;
}

/** The flat values that a tensor can be made of. */
export type TensorValues = TensorDataMap[TensorType] | Uint8ClampedArray | readonly (number | bigint | boolean)[];

const ARRAYS = {
	float32: Float32Array,
	float64: Float64Array,
	float16: Uint16Array,
	int8: Int8Array,
	int16: Int16Array,
	int32: Int32Array,
	int64: BigInt64Array,
	uint8: Uint8Array,
	uint16: Uint16Array,
	uint32: Uint32Array,
	uint64: BigUint64Array,
	bool: Uint8Array,
} as const;

/** The types whose elements plain integers are checked against. */
const INTEGER_BOUNDS: Partial<Record<TensorType, readonly [bigint, bigint]>> = {
	int8: [-(2n ** 7n), 2n ** 7n - 1n],
	int16: [-(2n ** 15n), 2n ** 15n - 1n],
	int32: [-(2n ** 31n), 2n ** 31n - 1n],
	int64: [-(2n ** 63n), 2n ** 63n - 1n],
	uint8: [0n, 2n ** 8n - 1n],
	uint16: [0n, 2n ** 16n - 1n],
	uint32: [0n, 2n ** 32n - 1n],
	uint64: [0n, 2n ** 64n - 1n],
	bool: [0n, 1n],
};

/**
 * Makes a tensor of flat values.
 *
 * A typed array that fits `type` is kept, not copied. `dims` defaults to one dimension, `type` to that of
 * the values (see ToTensorOptions).
 *
 * Errors: invalid_argument if the number of values is not that of `dims`, or if a value does not fit `type`.
 */
export function tensor<T extends TensorType = TensorType>(
	data: TensorValues,
	dims: readonly number[] = [data.length],
	type?: T,
): Tensor<T> {
	const elementType = type ?? typeOf(data);
	const size = resolveDims(dims, data.length);
	return { type: elementType, dims: size, data: dataOf(data, elementType) } as Tensor<T>;
}

/**
 * Makes tensors of what a data loader gives: a number, bigint or boolean, a typed array, a (nested) array of
 * these, a tensor, or a plain object of these, which gives an object of tensors.
 *
 * What cannot be converted, such as a text or an array of objects, is given to `unconvertible`, also where
 * it stands in an object; its result takes the value's place. Default: such a value gives undefined, and a
 * member of an object stays as it is.
 *
 * Errors: invalid_argument for ragged arrays, for dims that do not fit, for values that do not fit the type.
 */
export function toTensor(
	value: unknown,
	options: ToTensorOptions = {},
	unconvertible?: (value: unknown) => unknown,
): unknown {
	if (isTensor(value)) {
		if (options.dims === undefined && options.type === undefined) return value;
		return tensor(value.data, options.dims ?? value.dims, options.type ?? value.type);
	}
	if (typeof value === "number" || typeof value === "bigint" || typeof value === "boolean") {
		return tensor([value], options.dims ?? [], options.type);
	}
	if (isTypedArray(value)) return tensor(value, options.dims, options.type);
	if (Array.isArray(value)) {
		const flat = flatten(value, options.type);
		if (flat === undefined) return unconvertible?.(value);
		return tensor(flat.data, options.dims ?? flat.dims, options.type);
	}
	if (isPlainObject(value)) {
		const keep = unconvertible ?? ((member: unknown) => member);
		return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, toTensor(member, options, keep)]));
	}
	return unconvertible?.(value);
}

/** Tells whether `value` has the shape of a tensor. */
export function isTensor(value: unknown): value is Tensor {
	if (typeof value !== "object" || value === null) return false;
	if (!("type" in value && "dims" in value && "data" in value)) return false;
	if (!Array.isArray(value.dims)) return false;
	if (value.type === "string") return Array.isArray(value.data);
	return Object.hasOwn(ARRAYS, value.type as string) && value.data instanceof ARRAYS[value.type as keyof typeof ARRAYS];
}

/** Returns how a shape is written in messages: `[n, 2]`; a dimension without a name is `?`. */
export function formatShape(shape: readonly (number | string)[]): string {
	return `[${shape.map((size) => (size === "" ? "?" : size)).join(", ")}]`;
}

/** Returns the number of elements of a tensor with these dimensions. */
export function elementCount(dims: readonly number[]): number {
	return dims.reduce((product, size) => product * size, 1);
}

function resolveDims(dims: readonly number[], length: number): readonly number[] {
	const open = dims.indexOf(-1);
	if (dims.some((size, i) => i !== open && !(Number.isSafeInteger(size) && size >= 0))) {
		throw new MillraceError(
			"invalid_argument",
			`dims ${formatShape(dims)} are not sizes: give non-negative integers, at most one of them -1`,
		);
	}
	const known = elementCount(dims.filter((_, i) => i !== open));
	const resolved = open === -1 ? [...dims] : dims.map((size, i) => (i === open ? length / known : size));
	if (resolved.every(Number.isSafeInteger) && elementCount(resolved) === length) return resolved;
	throw new MillraceError(
		"invalid_argument",
		`dims ${formatShape(dims)} do not fit ${length} values: ` +
			(open === -1 ? `they need ${known}` : `${length} is no multiple of ${known}`),
	);
}

function typeOf(data: TensorValues): TensorType {
	if (Array.isArray(data)) {
		const first: unknown = data[0];
		if (typeof first === "bigint") return "int64";
		if (typeof first === "boolean") return "bool";
		return typeof first === "string" ? "string" : "float32";
	}
	if (data instanceof Uint8ClampedArray) return "uint8";
	for (const [type, array] of Object.entries(ARRAYS)) {
		if (type !== "float16" && data instanceof array) return type as TensorType;
	}
	throw new MillraceError("invalid_argument", "the values of a tensor must be an array or a typed array");
}

function dataOf(data: TensorValues, type: TensorType): TensorDataMap[TensorType] {
	if (type === "string") {
		if (Array.isArray(data) && data.every((value) => typeof value === "string")) return data;
		throw new MillraceError("invalid_argument", "a tensor of type string needs an array of strings");
	}
	const array = ARRAYS[type];
	if (array === undefined) {
		throw new MillraceError("invalid_argument", `${JSON.stringify(type)} is no tensor type`);
	}
	if (data instanceof Uint8ClampedArray && type === "uint8") {
		return new Uint8Array(data.buffer, data.byteOffset, data.length);
	}
	if (data instanceof array) return data;
	if (type === "float16") {
		throw new MillraceError("invalid_argument", "a tensor of type float16 needs its raw bits in a Uint16Array");
	}
	return convert(data as ArrayLike<number | bigint | boolean>, type);
}

function convert(
	data: ArrayLike<number | bigint | boolean>,
	type: Exclude<TensorType, "string">,
): TensorDataMap[TensorType] {
	const bounds = INTEGER_BOUNDS[type];
	const converted = new ARRAYS[type](data.length);
	const isBig = converted instanceof BigInt64Array || converted instanceof BigUint64Array;
	for (let i = 0; i < data.length; i++) {
		const value = data[i] as number | bigint | boolean;
		if (bounds === undefined ? !isNumeric(value) : !fits(value, bounds)) {
			throw new MillraceError("invalid_argument", `value ${String(value)} at position ${i} does not fit ${type}`);
		}
		converted[i] = isBig ? BigInt(value) : Number(value);
	}
	return converted;
}

function isNumeric(value: unknown): boolean {
	return typeof value === "number" || typeof value === "bigint" || typeof value === "boolean";
}

function fits(value: number | bigint | boolean, [min, max]: readonly [bigint, bigint]): boolean {
	if (typeof value === "number" && !Number.isInteger(value)) return false;
	return isNumeric(value) && BigInt(value) >= min && BigInt(value) <= max;
}

function isTypedArray(value: unknown): value is Exclude<TensorDataMap[TensorType], readonly string[]> {
	return ArrayBuffer.isView(value) && !(value instanceof DataView);
}

function isPlainObject(value: unknown): value is Record<string, unknown> {
	if (typeof value !== "object" || value === null) return false;
	const prototype: unknown = Object.getPrototypeOf(value);
	return prototype === Object.prototype || prototype === null;
}

/** The elements of a nested array in row-major order, or undefined where it holds something else than values. */
function flatten(
	nested: readonly unknown[],
	type: TensorType | undefined,
): { data: TensorValues; dims: number[] } | undefined {
	const dims: number[] = [];
	let level: unknown = nested;
	while (Array.isArray(level)) {
		dims.push(level.length);
		level = level[0];
	}
	if (isTypedArray(level)) return stack(nested, [...dims, level.length], level);
	const isValue = type === "string" ? (value: unknown) => typeof value === "string" : isNumeric;
	if (level !== undefined && !isValue(level)) return undefined;
	const kind = typeof level;
	const data: unknown[] = [];
	const isConvertible = visit(nested, dims, (leaf) => {
		// A mixture such as [1, true] has a meaning only where the type is given.
		if (!isValue(leaf) || (type === undefined && typeof leaf !== kind)) return false;
		data.push(leaf);
		return true;
	});
	return isConvertible ? { data: data as (number | bigint | boolean)[], dims } : undefined;
}

type NumberArray = Exclude<TensorDataMap[TensorType], readonly string[]>;

function stack(
	nested: readonly unknown[],
	dims: number[],
	first: NumberArray,
): { data: TensorValues; dims: number[] } | undefined {
	const rowLength = first.length;
	const data = new (first.constructor === Buffer ? Uint8Array : (first.constructor as Float32ArrayConstructor))(
		elementCount(dims),
	);
	let offset = 0;
	const isConvertible = visit(nested, dims.slice(0, -1), (row) => {
		if (!isTypedArray(row) || row.constructor !== first.constructor) return false;
		if (row.length !== rowLength) throw ragged(rowLength, row.length);
		data.set(row as Float32Array, offset);
		offset += rowLength;
		return true;
	});
	return isConvertible ? { data, dims } : undefined;
}

/** Calls `visitLeaf` for each leaf below `dims`, in order, until one returns false; then the result is false. */
function visit(nested: readonly unknown[], dims: readonly number[], visitLeaf: (leaf: unknown) => boolean): boolean {
	const [length = 0, ...inner] = dims;
	if (nested.length !== length) throw ragged(length, nested.length);
	for (const item of nested) {
		if (inner.length === 0) {
			if (Array.isArray(item)) throw ragged("a single value", item.length);
			if (!visitLeaf(item)) return false;
		} else {
			if (!Array.isArray(item)) return false;
			if (!visit(item, inner, visitLeaf)) return false;
		}
	}
	return true;
}

function ragged(wanted: number | string, given: number): MillraceError {
	return new MillraceError(
		"invalid_argument",
		`a nested array is ragged: one part holds ${wanted}${typeof wanted === "number" ? " values" : ""}, ` +
			`another ${given}; give all parts the same length`,
	);
}
