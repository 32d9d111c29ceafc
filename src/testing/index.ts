/**
 * Tests of processors: over small data, with all their workers in the process of the test.
 *
 * @module millrace/testing
 */

export { type ErrorCode, isMillraceError, MillraceError } from "../errors.js";
export type { ProcessorCall } from "./recorded-processor.js";
export { testBatchProcess } from "./test-batch-process.js";
export type { TestBatchProcessOptions } from "./test-options.js";
export type { BatchProcessTest } from "./test-result.js";
