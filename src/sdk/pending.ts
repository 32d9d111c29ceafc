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
type Target = Record<string, (...parameters: unknown[]) => unknown>;

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
	let loaded: Promise<T> | undefined;
	const value = () => {
		if (loaded === undefined) {
			loaded = load();
			loaded.catch(() => {
				loaded = undefined;
			});
		}
		return loaded;
	};
	const target = async () => {
		const present = await value();
		if (present === null) {
			throw new MillraceError("not_found", absent);
		}
		return present as unknown as Target;
	};
	const awaitable: PromiseLike<T> = {
		// biome-ignore lint/suspicious/noThenProperty: to be awaited is what it is for
		then: (onFulfilled, onRejected) => value().then(onFulfilled, onRejected),
	};
	return Object.assign(delegates(target, methods), awaitable) as unknown as Pending<T, NonNullable<T>>;
}

function delegates(target: () => Promise<Target>, methods: Readonly<Record<string, Kind>>) {
	const call = async (name: string, parameters: unknown[]) => {
		const object = await target();
		return object[name]?.(...parameters);
	};
	const entries = Object.entries(methods).map(([name, kind]) => [name, delegate(name, kind)]);
	return Object.fromEntries(entries) as Record<string, unknown>;

	function delegate(name: string, kind: Kind) {
		if (kind === "promise") {
			return (...parameters: unknown[]) => call(name, parameters);
		}
		if (kind === "list") {
			return (...parameters: unknown[]) =>
				asyncList(async function* () {
					const object = await target();
					yield* object[name]?.(...parameters) as AsyncIterable<unknown>;
				});
		}
		return (...parameters: unknown[]) =>
			pending(() => call(name, parameters) as Promise<object | null>, kind() as never);
	}
}
