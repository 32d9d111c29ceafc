import { client } from "../../../src/sdk/index.js";

// A user's script that never closes its client.
const model = await client.createModel("from a script");
console.log(`created ${model.name}`);
