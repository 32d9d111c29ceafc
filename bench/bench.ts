// Runs one of the benches beside this file: `npm run bench -- NAME [ARGUMENT …]`. It wants a build.
const benches: Record<string, string> = {
	abuse:
		"[CONNECTIONS [SECONDS [silent|rubbish|greedy|half|pings|slow …]]]: what 500 callers who mean harm take from 20 who work, and from the server's memory",
	rendezvous: "[N …]: how long N workers take to join a run, for a gather, and to finish",
};

const [name = "", ...args] = process.argv.slice(2);
if (!Object.hasOwn(benches, name)) {
	const lines = Object.entries(benches).map(([known, question]) => `  ${known} ${question}`);
	process.stderr.write(`bench: ${JSON.stringify(name)} is no bench; there are\n${lines.join("\n")}\n`);
	process.exit(2);
}
// What a bench has started is killed when it exits, which a signal alone would not let it do.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
	process.once(signal, () => process.exit(1));
}
process.argv = [process.argv[0] ?? "", name, ...args];
await import(`./${name}.ts`);
