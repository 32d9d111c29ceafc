import { MillraceError } from "../errors.js";
import { type AsyncList, asyncList } from "./async-list.js";

type Method = (...parameters: never[]) => unknown;

/** The methods of T, without its properties. */
export type MethodsOf<T> = Pick<T, { [K in keyof T]: T[K] extends Method ? K : never }[keyof T]>;

/**
 * Something that has not been fetched yet: `await` it for a T, or call M's methods on it at once. Nothing
 * is sent until then, so one that is dropped rejects nowhere. It is fetched at most once; a failure shows
 * in the `await` or in what the method returns, and the next use tries again.
 */
export type Pending<T, M = T> = PromiseLike<T> & MethodsOf<M>;

type MethodKind<R> =
	R extends AsyncList<unknown>
		? "list"
		: R extends Promise<unknown>
			? "promise"
			: R extends PromiseLike<infer U>
				? () => MethodKinds<NonNullable<U>>
				: never;

/** For each method of T, what it returns: a list, a promise, or the Pending of a type with these methods. */
export type MethodKinds<T> = {
	readonly [K in keyof MethodsOf<T>]: T[K] extends (...parameters: never[]) => infer R ? MethodKind<R> : never;
};

type Kind = "list" | "promise" | (() => Readonly<Record<string, Kind>>);

// Boxed, because a Pending that a promise resolves to would be awaited on the way.
type Box = readonly [target: Readonly<Record<string, (...parameters: unknown[]) => unknown>>];

/**
 * Makes a Pending of a function that fetches the value.
 *
 * A method called on it throws `not_found` with the text `absent` if what was fetched is null.
 */
export function pending<T extends object | null>(
	load: () => Promise<T>,
	methods: MethodKinds<NonNullable<T>>,
	absent = "there is nothing here",
): Pending<T, NonNullable<T>> {
	const value = once(load);
	const box = async () => {
		const present = await value();
		if (present === null) {
			throw new MillraceError("not_found", absent);
		}
		return [present] as unknown as Box;
	};
	return assemble(value, box, methods) as Pending<T, NonNullable<T>>;
}

function assemble(value: () => Promise<unknown>, box: () => Promise<Box>, methods: Readonly<Record<string, Kind>>) {
	const delegates = Object.entries(methods).map(([name, kind]) => [name, delegate(box, name, kind)]);
	const awaitable: PromiseLike<unknown> = {
		// biome-ignore lint/suspicious/noThenProperty: to be awaited is what it is for
		then: (onFulfilled, onRejected) => value().then(onFulfilled, onRejected),
	};
	return Object.assign(Object.fromEntries(delegates), awaitable) as unknown;
}

/** Makes the method that calls the method of this name when the object is there. */
function delegate(box: () => Promise<Box>, name: string, kind: Kind): (...parameters: unknown[]) => unknown {
	if (kind === "promise") {
		return async (...parameters) => (await box())[0][name]?.(...parameters);
	}
	if (kind === "list") {
		return (...parameters) =>
			asyncList(async function* () {
				yield* (await box())[0][name]?.(...parameters) as AsyncIterable<unknown>;
			});
	}
	return (...parameters) => {
		const inner = once(async () => [(await box())[0][name]?.(...parameters)] as unknown as Box);
		return assemble(async () => (await inner())[0], inner, kind());
	};
}

/** Calls `load` at most once, but for failures. */
function once<T>(load: () => Promise<T>): () => Promise<T> {
	let loaded: Promise<T> | undefined;
	// The stack of an error leads to the caller only if the caller waits when it is made, and as the only listener.
	const attempt = async () => {
		await undefined;
		try {
			return await load();
		} catch (error) {
			loaded = undefined;
			throw error;
		}
	};
	return () => {
		loaded ??= attempt();
		return loaded;
	};
}
