import type { Command } from "commander";
import { addYesFlag, confirmDeletion, type YesFlag } from "./confirm-deletion.js";
import { exampleUuid } from "./example.js";
import { byteSize, fileCount } from "./shown-value.js";
import type { Terminal } from "./terminal.js";
import { addVerb, onServer } from "./verb.js";

/** Adds `millrace checkpoint delete` and `remove-files`. */
export function addCheckpointRemoval(checkpoint: Command, terminal: Terminal): void {
	const remove = addVerb(
		checkpoint,
		"delete",
		"remove all files of a checkpoint, for good",
		exampleUuid,
		`${exampleUuid} --yes`,
	).argument("<uuid>", "the checkpoint");
	onServer<[string], YesFlag>(addYesFlag(remove), async (client, [id], flags) => {
		const one = await client.getCheckpoint(id);
		const files = Object.values(one.resources);
		const size = byteSize(files.reduce((sum, bytes) => sum + bytes, 0));
		const what = `delete checkpoint ${one.uuid} (${fileCount(files.length)}, ${size})`;
		if (await confirmDeletion(terminal, flags, what)) {
			await one.delete();
			await terminal.print(`checkpoint ${one.uuid}: ${one.state}\n`);
		}
	});

	const removeFiles = addVerb(
		checkpoint,
		"remove-files",
		"remove those files of a checkpoint that one of the globs fits, for good",
		`${exampleUuid} 'optimizer/**' --yes`,
	)
		.argument("<uuid>", "the checkpoint")
		.argument("<glob...>", "what the paths are compared with: * within a name, ** for any number of directories");
	onServer<[string, string[]], YesFlag>(addYesFlag(removeFiles), async (client, [id, globs], flags) => {
		const one = await client.getCheckpoint(id);
		const before = Object.keys(one.resources).length;
		if (
			await confirmDeletion(terminal, flags, `delete the files of checkpoint ${one.uuid} that fit ${globs.join(" ")}`)
		) {
			await one.removeFiles(globs);
			const removed = before - Object.keys(one.resources).length;
			await terminal.print(`checkpoint ${one.uuid}: ${one.state}, ${fileCount(removed)} removed\n`);
		}
	});
}
