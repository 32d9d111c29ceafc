import { promisify } from "node:util";
import { gunzip, gzip } from "node:zlib";
import type { Compression } from "@connectrpc/connect/protocol";
import { messageOf } from "../../errors.js";
import { grpcStatusOf } from "../../rpc/status.js";
import { connectError } from "./connect-error.js";

const pack = promisify(gzip);
const unpack = promisify(gunzip);

/** How bodies may be compressed, besides not at all. Brotli's usual level would take seconds for a large answer. */
export const gzipCompression: Compression = {
	name: "gzip",
	compress: async (bytes) => await pack(bytes),
	async decompress(bytes, readMaxBytes) {
		try {
			return await unpack(bytes, { maxOutputLength: readMaxBytes });
		} catch (cause) {
			const isTooLarge = cause instanceof RangeError;
			const message = isTooLarge
				? `the body has more than ${readMaxBytes} bytes when it is unpacked; send less at a time`
				: `the body is not what gzip makes: ${messageOf(cause)}`;
			throw connectError(grpcStatusOf(isTooLarge ? "resource_exhausted" : "invalid_argument"), message);
		}
	},
};
