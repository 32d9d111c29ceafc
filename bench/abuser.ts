// The callers who mean harm of the bench of abuse. Arguments: ADDRESS COUNT TRIAL-ID KIND …. The connections are shared
// among the kinds; one that the server closes is opened again. Tells its parent once all have been opened.
import { randomBytes } from "node:crypto";
import { type ClientHttp2Session, type ClientHttp2Stream, connect as connectHttp2, constants } from "node:http2";
import { connect, type Socket } from "node:net";
import { setPriority } from "node:os";
import { create, toBinary } from "@bufbuild/protobuf";
import { StreamTrialMetricsRequestSchema } from "../src/gen/millrace/v1/metric_service_pb.js";

const [address = "", count = "1", trialId = "1", ...kinds] = process.argv.slice(2);
const [host = "", port = ""] = address.split(":");

// They would have machines of their own; on this one they are not to take the server's time by theirs.
setPriority(19);

/** How long a connection stays closed, in milliseconds. */
const pauseMs = 100;
/** How many streams a greedy connection has open. */
const greed = 20;

type Abuse = (onOpen: () => void, onClose: () => void) => void;

function open(onOpen: () => void, onClose: () => void, work: (socket: Socket) => void): void {
	const socket = connect(Number(port), host);
	socket.on("error", () => {});
	socket.once("close", onClose);
	socket.once("connect", () => {
		onOpen();
		work(socket);
	});
	socket.resume();
}

function pour(socket: Socket, bytes: Buffer): void {
	const write = () => {
		while (!socket.destroyed && socket.write(bytes)) {
			// Until the system takes no more.
		}
	};
	socket.on("drain", write);
	write();
}

const greeting = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u0004\0\0\0\0\0", "latin1");
const ping = Buffer.from("\0\0\u0008\u0006\0\0\0\0\0abcdefgh", "latin1");

function framed(message: Uint8Array): Buffer {
	const prefix = Buffer.alloc(5);
	prefix.writeUInt32BE(message.length, 1);
	return Buffer.concat([prefix, message]);
}

function call(session: ClientHttp2Session, method: string): ClientHttp2Stream {
	const stream = session.request({
		[constants.HTTP2_HEADER_METHOD]: "POST",
		[constants.HTTP2_HEADER_PATH]: `/millrace.v1.MetricService/${method}`,
		[constants.HTTP2_HEADER_CONTENT_TYPE]: "application/grpc",
		[constants.HTTP2_HEADER_TE]: "trailers",
	});
	stream.on("error", () => {});
	return stream;
}

function session(onOpen: () => void, onClose: () => void, work: (session: ClientHttp2Session) => void): void {
	const opened = connectHttp2(`http://${address}`);
	opened.on("error", () => {});
	opened.once("close", onClose);
	opened.once("connect", () => {
		onOpen();
		work(opened);
	});
}

const everything = framed(
	toBinary(StreamTrialMetricsRequestSchema, create(StreamTrialMetricsRequestSchema, { trialIds: [Number(trialId)] })),
);
/** What a large request begins with: it says that 32 MiB are to come. */
const half = Buffer.alloc(512 * 1024);
half.writeUInt32BE(32 * 1024 * 1024, 1);

const abuses: Record<string, Abuse> = {
	silent: (onOpen, onClose) => open(onOpen, onClose, () => {}),
	rubbish: (onOpen, onClose) => open(onOpen, onClose, (socket) => pour(socket, randomBytes(16 * 1024))),
	pings: (onOpen, onClose) =>
		open(onOpen, onClose, (socket) => {
			socket.write(greeting);
			pour(socket, Buffer.concat(Array.from({ length: 1_000 }, () => ping)));
		}),
	slow: (onOpen, onClose) =>
		open(onOpen, onClose, (socket) => {
			let sent = 0;
			const timer = setInterval(() => socket.write(greeting.subarray(sent, ++sent)), 1_000);
			socket.once("close", () => clearInterval(timer));
		}),
	greedy: (onOpen, onClose) =>
		session(onOpen, onClose, (opened) => {
			const ask = () => {
				if (opened.destroyed || opened.closed) {
					return;
				}
				const stream = call(opened, "StreamTrialMetrics");
				stream.once("close", () => setTimeout(ask, pauseMs));
				stream.end(everything);
				// Nobody reads it: the server may send as much as its window allows.
			};
			for (let i = 0; i < greed; i++) {
				ask();
			}
		}),
	half: (onOpen, onClose) =>
		session(onOpen, onClose, (opened) => {
			const begin = () => {
				if (opened.destroyed || opened.closed) {
					return;
				}
				const stream = call(opened, "ReportMetrics");
				stream.once("close", () => setTimeout(begin, pauseMs));
				stream.resume();
				stream.write(half);
			};
			for (let i = 0; i < greed; i++) {
				begin();
			}
		}),
};

process.once("disconnect", () => process.exit());

let opened = 0;
for (let i = 0; i < Number(count); i++) {
	const abuse = abuses[kinds[i % kinds.length] ?? ""];
	if (abuse === undefined) {
		throw new Error(`there is no abuse ${kinds[i % kinds.length]}; there are ${Object.keys(abuses)}`);
	}
	let isFirst = true;
	const onOpen = () => {
		opened += isFirst ? 1 : 0;
		isFirst = false;
		if (opened === Number(count)) {
			opened = 0;
			process.send?.("open");
		}
	};
	const again = () => abuse(onOpen, () => setTimeout(again, pauseMs));
	again();
}
