import { watchParentPipe } from "../../src/parent-pipe.js";

// A worker that only the end of its parent's pipe ends.
watchParentPipe(() => process.exit(129));
process.on("SIGTERM", () => {});
setInterval(() => {}, 1_000);
console.log(`pid=${process.pid}`);
