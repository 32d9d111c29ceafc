import { client } from "../../../src/sdk/index.js";

// A user's script that only reads, streaming and not to the end, and never closes its client.
for await (const model of client.listModels()) {
	console.log(`read ${model.name}`);
	break;
}
