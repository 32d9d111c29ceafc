import { createRequire } from "node:module";

// Both src/ and dist/ lie directly below the package's root.
const manifest = createRequire(import.meta.url)("../package.json") as { version: string };

/** The version of this package. */
export const version: string = manifest.version;
