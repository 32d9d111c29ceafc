export { type ErrorCode, isMillraceError, MillraceError } from "../errors.js";
export type { ProcessorCall } from "./recorded-processor.js";
export { testBatchProcess } from "./test-batch-process.js";
export type { TestBatchProcessOptions } from "./test-options.js";
export type { BatchProcessTest } from "./test-result.js";
