/** Returns the host and the port of `host:port`, for a connection to it. */
export function hostAndPort(address: string): { host: string; port: number } {
	return { host: hostOf(address), port: Number(address.slice(address.lastIndexOf(":") + 1)) };
}

/** Returns the host of `host:port`; that of an IPv6 address without its brackets. */
export function hostOf(address: string): string {
	return address.replace(/:\d+$/, "").replace(/^\[(.*)\]$/, "$1");
}
