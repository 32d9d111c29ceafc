import type { Socket } from "node:net";
import { http2Greeting } from "./http2-greeting.js";

/** For how long a connection counts as served after an answer, in milliseconds. */
const servedMs = 10_000;

/** An open connection of a server, and what came of it. */
export class IncomingConnection {
	readonly socket: Socket;
	/** Where HTTP/2 is spoken; undefined until it is listened to, and until the TLS handshake is done. */
	spoken: Socket | undefined;
	/** Whether it is one too many. */
	isExtra: boolean;
	#calls = 0;
	#hasCalled = false;
	#isKnown = false;
	#isOver = false;
	/** Since when it is open, or has had no call under way. */
	#idleSince = performance.now();
	#answeredAt = Number.NEGATIVE_INFINITY;

	constructor(socket: Socket, isExtra: boolean) {
		this.socket = socket;
		this.isExtra = isExtra;
	}

	/** Whether there was ever a call on it. */
	get hasCalled(): boolean {
		return this.#hasCalled;
	}

	/** Whether it has said something else than HTTP/2, and is kept only so that it does not come again at once. */
	get isOver(): boolean {
		return this.#isOver;
	}

	/** Whether a call on it was answered lately, that only those may make who are let in. */
	get isServed(): boolean {
		return performance.now() - this.#answeredAt < servedMs;
	}

	/** Takes note that a call begins. */
	beginCall(): void {
		this.#calls += 1;
		this.#hasCalled = true;
	}

	/** Takes note that a call was let in that not everyone may make. */
	noteKnown(): void {
		this.#isKnown = true;
	}

	/** Takes note that a call was answered that not everyone may make. */
	noteAnswered(): void {
		this.#answeredAt = performance.now();
	}

	/** Takes note that a call has ended. */
	endCall(): void {
		this.#calls -= 1;
		this.#idleSince = performance.now();
	}

	/** Takes note that it has said something else than HTTP/2: it is idle from then on. */
	noteOver(): void {
		this.#isOver = true;
		this.#idleSince = Number.NEGATIVE_INFINITY;
	}

	/** Whether it has been idle from before a time on. */
	isIdleSince(latest: number): boolean {
		return this.#calls === 0 && this.#idleSince < latest;
	}

	/** Whether it is to make room before another idle one: strangers are, and who has been idle for longer. */
	makesRoomBefore(other: IncomingConnection): boolean {
		return this.#isKnown === other.#isKnown ? this.#idleSince < other.#idleSince : other.#isKnown;
	}

	/** Cuts it if it has not greeted: it has no call. */
	cutIfSilent(): void {
		// Of a TLS socket these are the bytes of what was said, without the handshake.
		if (this.#isOver || this.spoken === undefined || this.spoken.bytesRead < http2Greeting.length) {
			this.socket.destroy();
		}
	}
}
