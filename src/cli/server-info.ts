import { join } from "node:path";
import type { Command } from "commander";
import type { Storage } from "../gen/millrace/v1/storage_pb.js";
import { connect } from "../sdk/connect.js";
import { addExample } from "./example.js";
import { addJsonFlag, type JsonFlag } from "./json-flag.js";
import { printDescription } from "./print-description.js";
import { addServerFlags, assertServerOrData, type ServerFlags, serverChoice } from "./server-flags.js";
import type { Terminal } from "./terminal.js";

/** Adds `millrace server info`: it asks a server who it is. */
export function addServerInfoCommand(server: Command, terminal: Terminal): void {
	const command = server
		.command("info")
		.description(
			"tell the version, the cluster id, the data directory and the storage of the server that the flags name",
		);
	addJsonFlag(addServerFlags(command), "a document").action((flags: ServerFlags & JsonFlag) =>
		printInfo(flags, terminal),
	);
	addExample(command, "server info --server gpu-box:8090");
}

async function printInfo(flags: ServerFlags & JsonFlag, terminal: Terminal): Promise<void> {
	assertServerOrData(flags);
	const connection = await connect(serverChoice(flags));
	try {
		const { version, clusterId, dataDirectory, defaultStorage, hasAccounts } = await connection.server.getServerInfo(
			{},
		);
		const { address } = connection;
		const storage = storageOf(defaultStorage);
		await printDescription(terminal, flags, { address, version, clusterId, dataDirectory, storage, hasAccounts }, [
			{ label: "Address", text: address },
			{ label: "Version", text: version },
			{ label: "Cluster id", text: clusterId },
			{ label: "Data directory", text: dataDirectory },
			{ label: "Storage", text: `${storage.type} ${storage.path}`.trim() },
			{
				label: "Accounts",
				text: hasAccounts ? "yes: callers show a token" : "no: everyone who reaches it may do everything",
			},
		]);
	} finally {
		connection.close();
	}
}

/** Where files are kept whose experiment names no storage: Determined's name of the kind, and the path. */
function storageOf(storage: Storage | undefined): { type: string; path: string } {
	switch (storage?.backend.case) {
		case "sharedFs":
			return { type: "shared_fs", path: join(storage.backend.value.hostPath, storage.backend.value.storagePath) };
		case "directory":
			return { type: "directory", path: storage.backend.value.containerPath };
		default:
			return { type: "unknown", path: "" };
	}
}
