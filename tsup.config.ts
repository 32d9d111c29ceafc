import { defineConfig } from "tsup";

export default defineConfig({
	entry: {
		index: "src/sdk/index.ts",
		runtime: "src/runtime/index.ts",
		server: "src/server/index.ts",
		cli: "src/cli/main.ts",
		"model-thread": "src/runtime/model-thread.ts",
	},
	format: "esm",
	target: "node20",
	platform: "node",
	dts: { entry: { index: "src/sdk/index.ts", runtime: "src/runtime/index.ts", server: "src/server/index.ts" } },
	splitting: true,
	clean: true,
	sourcemap: true,
	external: ["sqlite3", "onnxruntime-node"],
});
