import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { Client } from "../../../src/sdk/index.js";

// Downloads a checkpoint to `place`, or uploads the files at `place`, and kills itself once the parts of files in
// `directory` (or in the directories in it) have `limit` bytes.
const [address, what, subject, place, directory, limit] = process.argv.slice(2) as [
	string,
	"download" | "upload",
	string,
	string,
	string,
	string,
];

function bytesOfParts(below: string): number {
	try {
		return readdirSync(below, { recursive: true, encoding: "utf8" })
			.filter((name) => name.includes(".millrace-parts/"))
			.reduce((sum, name) => sum + statSync(join(below, name)).size, 0);
	} catch {
		// It is being made, or renamed.
		return -1;
	}
}

setInterval(() => {
	if (bytesOfParts(directory) >= Number(limit)) {
		process.kill(process.pid, "SIGKILL");
	}
}, 0);
const client = new Client({ server: address });
const mode = process.env.TRANSFER_MODE as "direct" | "master";
if (what === "download") {
	await client.getCheckpoint(subject).download(place, { mode });
} else {
	await client.uploadCheckpoint(place, { reuse: true, mode });
}
console.error("it has ended before it was killed");
process.exit(1);
