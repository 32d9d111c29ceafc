/** What precedes a message on the wire: whether it is compressed, and how long it is. */
const headBytes = 5;

/** Follows the messages of a gRPC stream through the pieces in which it comes. */
export class MessageFrames {
	readonly #head = Buffer.alloc(headBytes);
	readonly #onBegin: (bytes: number, isCompressed: boolean) => void;
	#headSize = 0;
	#rest = 0;

	/** @param onBegin Called for each message that begins, before more of it is looked at. */
	constructor(onBegin: (bytes: number, isCompressed: boolean) => void) {
		this.#onBegin = onBegin;
	}

	/** Looks at the next piece. */
	take(piece: Uint8Array): void {
		for (let at = 0; at < piece.length; ) {
			if (this.#rest > 0) {
				const skipped = Math.min(this.#rest, piece.length - at);
				this.#rest -= skipped;
				at += skipped;
				continue;
			}
			this.#head[this.#headSize++] = piece[at++] ?? 0;
			if (this.#headSize === headBytes) {
				this.#headSize = 0;
				this.#rest = this.#head.readUInt32BE(1);
				this.#onBegin(this.#rest, this.#head[0] === 1);
			}
		}
	}
}
