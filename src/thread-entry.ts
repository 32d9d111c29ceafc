/**
 * Returns the entry of a worker thread: `name`.js beside the built file, or `name`.ts beside the module in the source
 * tree, whose URL is `moduleUrl`.
 */
export function threadEntry(name: string, moduleUrl: string): URL {
	if (!moduleUrl.endsWith(".ts")) return new URL(`./${name}.js`, moduleUrl);
	// tsx does not register itself in worker threads, neither inherited nor by --import.
	const register = `import { register } from ${JSON.stringify(import.meta.resolve("tsx/esm/api"))}; register();`;
	const load = `await import(${JSON.stringify(new URL(`./${name}.ts`, moduleUrl).href)});`;
	return new URL(`data:text/javascript,${encodeURIComponent(register + load)}`);
}
