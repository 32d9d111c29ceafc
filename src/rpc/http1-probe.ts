import { connect } from "node:net";
import { hostOf } from "./host-of.js";

/** How long a server may take, in milliseconds. */
const probeMs = 2_000;

/** How each client of HTTP/2 greets, and an empty frame of its settings: nothing that a server would act upon. */
const greeting = Buffer.concat([
	Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
	Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]),
]);

/** How each answer of HTTP/1 begins. */
const http1 = "HTTP/1.";

/**
 * Makes a connection of its own to find out whether a server answers the greeting of HTTP/2, in plain text, by HTTP/1.
 * Throws nothing: false if nobody answers in time.
 */
export function answersByHttp1(address: string, signal?: AbortSignal): Promise<boolean> {
	return new Promise((resolve) => {
		const socket = connect({
			host: hostOf(address),
			port: Number(address.slice(address.lastIndexOf(":") + 1)),
		});
		const settle = (isHttp1: boolean) => {
			clearTimeout(timer);
			signal?.removeEventListener("abort", giveUp);
			socket.destroy();
			resolve(isHttp1);
		};
		const giveUp = () => settle(false);
		const timer = setTimeout(giveUp, probeMs);
		signal?.addEventListener("abort", giveUp, { once: true });
		let start = "";
		socket.on("data", (piece) => {
			start += piece.toString("latin1", 0, http1.length);
			if (start.startsWith(http1)) {
				settle(true);
			} else if (!http1.startsWith(start)) {
				settle(false);
			}
		});
		socket.on("error", () => {});
		socket.on("close", giveUp);
		socket.write(greeting);
		if (signal?.aborted) {
			giveUp();
		}
	});
}
