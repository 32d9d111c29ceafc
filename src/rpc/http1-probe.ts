import { connect } from "node:net";
import { hostAndPort } from "./host-of.js";
import { http2Greeting } from "./http2-greeting.js";
import { probe } from "./probe.js";

/** An empty frame of HTTP/2's settings: nothing that a server would act upon. */
const noSettings = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]);

/** How each answer of HTTP/1 begins. */
const http1 = "HTTP/1.";

/** Finds out whether a server answers the greeting of HTTP/2, in plain text, by HTTP/1; false if nobody answers in time. */
export function answersByHttp1(address: string, signal?: AbortSignal): Promise<boolean> {
	const socket = connect(hostAndPort(address));
	return probe(socket, false, signal, (settle) => {
		let start = "";
		socket.on("data", (piece) => {
			start += piece.toString("latin1", 0, http1.length);
			if (start.startsWith(http1)) {
				settle(true);
			} else if (!http1.startsWith(start)) {
				settle(false);
			}
		});
		socket.write(Buffer.concat([http2Greeting, noSettings]));
	});
}
