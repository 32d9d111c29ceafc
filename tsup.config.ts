import { defineConfig } from "tsup";

export default defineConfig({
	entry: {
		index: "src/sdk/index.ts",
		runtime: "src/runtime/index.ts",
		server: "src/server/index.ts",
		testing: "src/testing/index.ts",
		cli: "src/cli/main.ts",
		"member-thread": "src/rendezvous/member-thread.ts",
		"log-thread": "src/runtime/log-thread.ts",
		"model-thread": "src/runtime/model-thread.ts",
		"search-thread": "src/server/search-thread.ts",
	},
	format: "esm",
	target: "node20",
	platform: "node",
	dts: {
		entry: {
			index: "src/sdk/index.ts",
			runtime: "src/runtime/index.ts",
			server: "src/server/index.ts",
			testing: "src/testing/index.ts",
		},
		// What is @internal would draw the generated messages and grpc-js into the declarations.
		compilerOptions: { stripInternal: true },
		// They use Node's URL and AbortSignal, which a project with `types: []` does not have by itself.
		banner: '/// <reference types="node" />',
	},
	splitting: true,
	clean: true,
	sourcemap: true,
	silent: true,
	external: ["sqlite3", "onnxruntime-node"],
});
