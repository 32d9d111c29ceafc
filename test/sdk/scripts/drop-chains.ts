import { client } from "../../../src/sdk/index.js";

// Chains that nobody awaits, over things that do not exist.
client.getCheckpoint("absent").getMetrics("inference");
client.getModel("absent").getVersion(3).getMetrics("a.b");
client.getTrial(-1).getExperiment().listTrials();
client.listModels();
console.log("dropped");
