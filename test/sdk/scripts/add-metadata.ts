import { client } from "../../../src/sdk/index.js";

// Adds 1,000 keys, each in a change of its own, some at once.
const [kind, name = "", prefix = ""] = process.argv.slice(2);
const object = await { model: () => client.getModel(name) }[kind as "model"]();
for (let i = 0; i < 1000; i += 20) {
	const keys = Array.from({ length: 20 }, (_, j) => i + j);
	await Promise.all(keys.map((key) => object.addMetadata({ [`${prefix} ${key}`]: key })));
}
