import { init } from "./init.js";

/** For scripts that bring their own loop. Python: `determined.core` */
export const core = { init } as const;
