import { MillraceError } from "../errors.js";
import {
	type BatchProcessOptions,
	type BatchProcessSettings,
	checkOptions,
	optionNames,
} from "../runtime/batch-process-options.js";
import { DistributedContext } from "../runtime/distributed/distributed-context.js";
import { assertKnownOptions, assertOptions } from "../sdk/assert-options.js";
import { shown } from "../sdk/shown.js";

/** Options of testBatchProcess: those of batchProcess that do not concern the process or the server, and `worldSize`. */
export interface TestBatchProcessOptions<T, B>
	extends Omit<BatchProcessOptions<T, B>, "distributed" | "server" | "tls" | "stepTimeout"> {
	/** The number of workers, from 1 to 64; default 1. All are in this process. */
	readonly worldSize?: number;
}

const mostWorkers = 64;

/** What batchProcess has, and a test cannot: why. */
const refused = {
	distributed: "worldSize says how many workers there are",
	server: "the test has a server of its own",
	tls: "the server of the test speaks plain text on this machine",
	stepTimeout: "it would kill the process of the test; the test's own timeout says which it is",
} as const;

const known = [
	"worldSize",
	...optionNames.filter((name): name is Exclude<typeof name, keyof typeof refused> => !(name in refused)),
] as const;

/**
 * Checks the options, and returns the settings of each rank.
 *
 * Throws `invalid_argument` naming the option and its value.
 */
export function checkTestOptions<T, B>(options: TestBatchProcessOptions<T, B>): BatchProcessSettings<T, B>[] {
	assertOptions(options, "testBatchProcess", "worldSize");
	const { worldSize = 1, ...rest } = options;
	if (!Number.isInteger(worldSize) || worldSize < 1 || worldSize > mostWorkers) {
		const rule = `it must be a whole number from 1 to ${mostWorkers}`;
		throw new MillraceError("invalid_argument", `worldSize is ${shown(worldSize)}; ${rule}`);
	}
	for (const [name, why] of Object.entries(refused)) {
		if (name in rest) {
			throw new MillraceError("invalid_argument", `testBatchProcess has no option ${name}: ${why}`);
		}
	}
	assertKnownOptions(options, "testBatchProcess", known);
	const ranks = Array.from({ length: worldSize }, (_, rank) => contextOf(rank, worldSize));
	const settings = checkOptions({ ...rest, distributed: ranks[0] as DistributedContext });
	return ranks.map((distributed) => ({ ...settings, distributed }));
}

/** All workers are on one node: this one. */
function contextOf(rank: number, size: number): DistributedContext {
	return new DistributedContext({ rank, size, localRank: rank, localSize: size, crossRank: 0, crossSize: 1 });
}
