import { MillraceError } from "../errors.js";
import type { ModelValueInfo } from "./model-thread.js";
import { elementCount, formatShape, isTensor, type Tensor } from "./tensor.js";

/** A tensor for each input name of a model. */
export type ModelInputs = Readonly<Record<string, Tensor>>;

/**
 * Returns the inputs by name; a single tensor is meant for a model's only input.
 *
 * Errors: invalid_argument for inputs that are missing, unknown, or no tensors, and for a type, a number of
 * dimensions, or a fixed dimension that differs; the message names the input, the wanted and the given shape.
 */
export function assertInputs(
	model: string,
	infos: readonly ModelValueInfo[],
	input: Tensor | ModelInputs,
): ModelInputs {
	const inputs = isTensor(input) ? ofSingle(model, infos, input) : input;
	if (Array.isArray(inputs) || ArrayBuffer.isView(inputs) || typeof inputs === "number") {
		const given = typeof inputs === "number" ? "a number" : `an array (${inputs.constructor.name})`;
		throw new MillraceError(
			"invalid_argument",
			`${model} takes ${namesOf(infos)}, but got ${given}: make tensors of it with context.toDevice`,
		);
	}
	if (typeof inputs !== "object" || inputs === null) {
		throw new MillraceError("invalid_argument", `${model} takes ${namesOf(infos)}, but got ${String(inputs)}`);
	}
	for (const name of Object.keys(inputs)) {
		if (!infos.some((info) => info.name === name)) {
			throw new MillraceError("invalid_argument", `${model} has no input "${name}": it takes ${namesOf(infos)}`);
		}
	}
	for (const info of infos) assertInput(model, info, inputs[info.name]);
	return inputs;
}

function ofSingle(model: string, infos: readonly ModelValueInfo[], tensor: Tensor): ModelInputs {
	const [info] = infos;
	if (info !== undefined && infos.length === 1) return { [info.name]: tensor };
	throw new MillraceError(
		"invalid_argument",
		`${model} takes ${namesOf(infos)}, but got a single tensor: give an object with a tensor for each`,
	);
}

function assertInput(model: string, info: ModelValueInfo, value: unknown): void {
	if (value === undefined) {
		throw new MillraceError(
			"invalid_argument",
			`input "${info.name}" of ${model} is missing: it takes ${wanted(info)}`,
		);
	}
	if (!isTensor(value)) {
		throw new MillraceError(
			"invalid_argument",
			`input "${info.name}" of ${model} wants ${wanted(info)}, but got no tensor: make one with context.toDevice`,
		);
	}
	const { type, dims, data } = value;
	// ONNX Runtime shows an unknown number of dimensions as an empty shape.
	const fits =
		info.shape.length === 0 ||
		(info.shape.length === dims.length && info.shape.every((size, i) => typeof size === "string" || size === dims[i]));
	if (type !== info.type || !fits) {
		throw new MillraceError(
			"invalid_argument",
			`input "${info.name}" of ${model} wants ${wanted(info)}, but got ${type} ${formatShape(dims)}`,
		);
	}
	if (elementCount(dims) !== data.length) {
		throw new MillraceError(
			"invalid_argument",
			`input "${info.name}" of ${model} has the shape ${formatShape(dims)}, but ${data.length} values` +
				`${data.length === 0 ? ": were they moved by an earlier run with transfer" : ""}`,
		);
	}
}

function wanted(info: ModelValueInfo): string {
	return `${info.type} ${formatShape(info.shape)}`;
}

function namesOf(infos: readonly ModelValueInfo[]): string {
	if (infos.length === 0) return "no inputs";
	const names = infos.map((info) => `"${info.name}"`).join(", ");
	return infos.length === 1 ? `the input ${names}` : `the inputs ${names}`;
}
