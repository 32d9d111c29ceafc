import type { RendezvousMember } from "../rendezvous/client.js";
import { type Dataset, toDataset } from "./dataset.js";
import type { DistributedContext } from "./distributed/distributed-context.js";
import { nodeBarrier } from "./run-barriers.js";

/** A data set, an array of records, or a function that makes one of these. */
export type DatasetSource<T> =
	| Dataset<T>
	| readonly T[]
	| (() => Dataset<T> | readonly T[] | Promise<Dataset<T> | readonly T[]>);

/**
 * Returns the data set. A function runs on local rank 0 first and then on the node's other workers, so that
 * what it downloads or builds is there for them.
 */
export async function openDataset<T>(
	source: DatasetSource<T>,
	rendezvous: RendezvousMember,
	{ localRank, localSize }: DistributedContext,
): Promise<Dataset<T>> {
	if (typeof source !== "function") {
		return toDataset(source);
	}
	if (localSize === 1) {
		return toDataset(await source());
	}
	if (localRank === 0) {
		const dataset = toDataset(await source());
		await nodeBarrier(rendezvous);
		return dataset;
	}
	await nodeBarrier(rendezvous);
	return toDataset(await source());
}
