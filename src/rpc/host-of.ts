/** Returns the host of `host:port`; that of an IPv6 address without its brackets. */
export function hostOf(address: string): string {
	return address.replace(/:\d+$/, "").replace(/^\[(.*)\]$/, "$1");
}
