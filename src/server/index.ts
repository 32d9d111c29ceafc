/**
 * The server, in the process of the program that imports it; the command `millrace server` starts one by itself.
 *
 * @module millrace/server
 */

export type { Limits } from "../rpc/limits/limits.js";
export { type RunningServer, type ServerOptions, startServer } from "./server.js";
export type { ServerTlsFiles } from "./server-certificate.js";
