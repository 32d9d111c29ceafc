/** Collects the values of an option that may be given several times. */
export function collect(text: string, earlier: readonly string[] = []): readonly string[] {
	return [...earlier, text];
}
