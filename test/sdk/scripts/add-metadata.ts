import { client } from "../../../src/sdk/index.js";

// Adds 1,000 keys to a model, each in a change of its own, some at once.
const [name = "", prefix = ""] = process.argv.slice(2);
const model = await client.getModel(name);
for (let i = 0; i < 1000; i += 20) {
	const keys = Array.from({ length: 20 }, (_, j) => i + j);
	await Promise.all(keys.map((key) => model.addMetadata({ [`${prefix} ${key}`]: key })));
}
