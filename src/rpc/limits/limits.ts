import { MillraceError } from "../../errors.js";

/**
 * What a server takes from its callers. A call beyond it is refused with `resource_exhausted`, and all others go on.
 */
export interface Limits {
	/** The calls per second of one token, or of one connection where none is shown. Bursts of twice as many pass. Default 5,000. */
	readonly maxCallsPerSecond: number;
	/** The connections at a time. Default 4,000: those of a thousand workers. */
	readonly maxConnections: number;
	/** The streams that a connection has open at a time, of twice as many calls. Default 64. */
	readonly maxStreamsPerConnection: number;
}

/** What a server takes that is not told otherwise. */
export const defaultLimits: Limits = {
	maxCallsPerSecond: 5_000,
	maxConnections: 4_000,
	maxStreamsPerConnection: 64,
};

/** The most bytes of the request of a call that is answered by a stream: what it asks for. */
export const maxStreamRequestBytes = 1024 * 1024;

/** The most bytes of a call's metadata: all names and values together. */
export const maxMetadataBytes = 16 * 1024;

/**
 * Returns the limits of a server, the usual ones where none is given.
 *
 * Throws `invalid_argument` if one is not a whole number from 1 on.
 */
export function limitsOf(given: Partial<Limits> = {}): Limits {
	const limits = { ...defaultLimits };
	for (const name of Object.keys(defaultLimits) as (keyof Limits)[]) {
		const value = given[name] ?? defaultLimits[name];
		if (!Number.isSafeInteger(value) || value < 1) {
			throw new MillraceError("invalid_argument", `limits.${name} is ${value}; it must be a whole number from 1 on`);
		}
		Object.assign(limits, { [name]: value });
	}
	return limits;
}
