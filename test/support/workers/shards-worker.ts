// Two workers that store a checkpoint together, wrongly and then rightly, and restore it.
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { core } from "../../../src/runtime/index.js";

const say = (line: object) => process.stdout.write(`${JSON.stringify(line)}\n`);

await core.init(async ({ checkpoint, distributed: { rank }, preempt }) => {
	const metadata = { steps_completed: 1 };
	const shard = { shard: true };
	const messageOf = (work: Promise<unknown>) => work.then(String, (error: Error) => error.message);
	const writeOwn = (path: string) => writeFileSync(join(path, "own"), String(rank));
	const files = await messageOf(checkpoint.storePath(metadata, writeOwn, shard));
	const other = { ...metadata, note: `rank ${rank}` };
	const said = await messageOf(checkpoint.storePath(other, writeOwn, shard));
	const write = (path: string) => {
		writeFileSync(join(path, "both"), "same");
		writeFileSync(join(path, `own-${rank}`), String(rank));
	};
	const uuid = await checkpoint.storePath(metadata, write, shard);
	// Each wants its own files, and all of a node share what any of them wants.
	let directory = "";
	const selector = (path: string) => path === "both" || path === `own-${rank}`;
	const restored = await checkpoint.restorePath(
		uuid,
		(path) => {
			directory = path;
			return readdirSync(path).sort();
		},
		{ selector },
	);
	say({ files, metadata: said, restored });
	say({
		alone: await messageOf(Promise.resolve().then(() => (rank === 1 ? checkpoint.storePath(metadata, write) : ""))),
	});
	say({ directory });
	await preempt.shouldPreempt({ autoAck: false });
});
