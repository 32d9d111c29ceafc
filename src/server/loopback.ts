import { MillraceError } from "../errors.js";

/** Tells whether a host can be reached from its own machine only. */
export function isLoopback(host: string): boolean {
	return host === "localhost" || host === "::1" || /^(::ffff:)?127(\.\d{1,3}){3}$/.test(host);
}

/** Returns what an address has in common with all that one caller may have: of IPv6 the first half. */
export function networkOf(host: string): string {
	if (!host.includes(":") || host.startsWith("::ffff:")) {
		return host;
	}
	const [before = "", after] = host.split("::");
	const groups = before.split(":").filter((group) => group !== "");
	const last = (after ?? "").split(":").filter((group) => group !== "");
	const zeros = after === undefined ? 0 : 8 - groups.length - last.length;
	return [...groups, ...Array.from({ length: zeros }, () => "0"), ...last].slice(0, 4).join(":");
}

/**
 * Tells whether the header Host of a request is a name of the machine that sent it, with or without a port. A page
 * from elsewhere, whose own name was made to lead to this machine, has that name there.
 */
export function namesLoopback(header: string | undefined): boolean {
	const [, name = ""] = /^(\[[\da-f:]+\]|[^:]+)(?::\d+)?$/i.exec(header ?? "") ?? [];
	return isLoopback(name.toLowerCase().replace(/^\[|\]$/g, ""));
}

/**
 * Refuses to serve other machines by accident.
 *
 * Throws `invalid_argument` if the host of a server without accounts is not loopback, and the caller has not said that it is
 * meant.
 */
export function assertSafeHost(host: string, directory: string, insecure: boolean): void {
	if (!insecure && !isLoopback(host)) {
		throw new MillraceError(
			"invalid_argument",
			`host is ${JSON.stringify(host)}, which other machines can reach, and ${directory} has no accounts; ` +
				`make one by \`millrace user create NAME --admin --data ${directory}\`, bind to 127.0.0.1, ` +
				"or pass --insecure (insecure: true) if everyone on that network may use it",
		);
	}
}

/** Returns where a server that is bound to a host can be reached from its own machine, as `host:port`. */
export function localAddress(host: string, port: number): string {
	const reachable = host === "0.0.0.0" || host === "::" || host === "" ? "127.0.0.1" : host;
	return reachable.includes(":") ? `[${reachable}]:${port}` : `${reachable}:${port}`;
}
