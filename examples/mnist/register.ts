import { fileURLToPath } from "node:url";
import { client } from "millrace";

// The same file gives the same checkpoint, however often this is run; and one version of it is enough.
const file = fileURLToPath(new URL("mnist-cnn.onnx", import.meta.url));
const checkpoint = await client.uploadCheckpoint(file, { reuse: true, metadata: { framework: "onnx" } });
const model = await client.createModel("mnist-cnn", { description: "reads handwritten digits", existOk: true });
const versions = await model.listVersions();
const version =
	versions.find((candidate) => candidate.checkpoint.uuid === checkpoint.uuid) ??
	(await model.registerVersion(checkpoint.uuid));
console.log(`model ${model.name}, version ${version.modelVersion}, checkpoint ${checkpoint.uuid}`);
