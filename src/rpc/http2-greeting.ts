/** The words that every HTTP/2 connection starts with. */
export const http2Greeting: Buffer = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");
