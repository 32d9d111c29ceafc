import { setFlagsFromString } from "node:v8";
import { type Command, InvalidArgumentError, Option } from "commander";
import type { ServerAddress } from "../data-directory.js";
import { signalExitCode } from "../exit-codes.js";
import type { ServerTlsFiles } from "../server/index.js";
import { onStopSignals } from "../stop-signals.js";
import { version } from "../version.js";
import { addExample } from "./example.js";
import { addServerInfoCommand } from "./server-info.js";
import type { Terminal } from "./terminal.js";
import { untilUnused } from "./unused-server.js";
import { watchNpx } from "./watch-npx.js";

interface ServerFlags {
	host: string;
	port?: number;
	httpPort?: number;
	http: boolean;
	data?: string;
	insecure?: boolean;
	lease?: number;
	maxCallsPerSecond?: number;
	maxConnections?: number;
	maxStreamsPerConnection?: number;
	tlsCert?: string;
	tlsKey?: string;
	tlsClientCa?: string;
	embedded?: boolean;
}

/** How much larger than what is in use the heap may become. */
const heapGrowthPercent = 50;
/** How many times as large its young part becomes when it grows: with 1 it does not. */
const youngGrowthFactor = 1;

/** Longer than an embedded server stays after the last command that used it. */
const embeddedWaitMs = 10_000;

/** Adds `millrace server`. */
export function addServerCommand(program: Command, terminal: Terminal): void {
	const command = program
		.command("server")
		.summary("serve a data directory")
		.description("Serve a data directory until SIGTERM or SIGINT.")
		.option("--host <host>", "the address to listen on", "127.0.0.1")
		.option("--port <port>", "the port to listen on; 0 takes a free one (default: 8090)", port)
		.option(
			"--http-port <port>",
			"the port for JSON over HTTP; 0 takes a free one (default: 8080, or 0 with --port 0)",
			port,
		)
		.option("--no-http", "serve no JSON over HTTP")
		.option("--data <directory>", "the data directory (default: MILLRACE_DATA, else .millrace)")
		.option("--insecure", "listen on a host that is not loopback, though everyone who reaches it may do everything")
		.addOption(
			new Option("--lease <seconds>", "how long a silent worker is kept (default: 15)")
				.env("MILLRACE_LEASE")
				.argParser(leaseMs),
		)
		.option("--max-calls-per-second <count>", "the calls per second of a token or connection (default: 5000)", count)
		.option("--max-connections <count>", "the connections at a time (default: 4000)", count)
		.option("--max-streams-per-connection <count>", "the streams that a connection has open (default: 64)", count)
		.addOption(tlsFile("--tls-cert", "speak TLS, with the certificate (and those of CAs above it) of this PEM file"))
		.addOption(tlsFile("--tls-key", "the PEM file of the certificate's private key"))
		.addOption(tlsFile("--tls-client-ca", "refuse clients without a certificate of a CA of this PEM file"))
		.addOption(new Option("--embedded", "serve on a free port until nobody is connected any more").hideHelp())
		.action((flags: ServerFlags) => {
			const [name] = command.args;
			if (name !== undefined) {
				const known = command.commands.map((child) => child.name()).join(", ");
				command.error(`error: unknown command '${name}'; millrace server alone serves, and has: ${known}`);
			}
			return serve(flags);
		});
	addExample(command, "server --data /var/lib/millrace --port 8090");
	addServerInfoCommand(command, terminal);
	// Commander would call a mistyped command an argument too many.
	command.allowExcessArguments();
}

async function serve(flags: ServerFlags): Promise<void> {
	// V8 would let the heap become several times what is in use before it looks for what is not.
	setFlagsFromString(`--heap-growing-percent=${heapGrowthPercent}`);
	setFlagsFromString(`--semi-space-growth-factor=${youngGrowthFactor}`);
	const isEmbedded = flags.embedded ?? false;
	const stopSignals = onStopSignals();
	if (!isEmbedded) {
		watchNpx(() => stopSignals.ask("SIGTERM"));
	}
	const { startServer } = await import("../server/index.js");
	const onWait = ({ address, pid }: ServerAddress) => {
		stopSignals.deliver((signal) => process.exit(signalExitCode(signal)));
		process.stderr.write(
			`millrace: waiting for the embedded server at ${address} (pid ${pid}), which ends when nobody is connected\n`,
		);
	};
	const server = await startServer({
		host: flags.host,
		port: flags.port ?? (isEmbedded ? 0 : undefined),
		httpPort: flags.http && !isEmbedded ? (flags.httpPort ?? (flags.port === 0 ? 0 : 8080)) : undefined,
		dataDirectory: flags.data,
		insecure: flags.insecure ?? false,
		leaseMs: flags.lease,
		limits: limitsOf(flags),
		// An embedded server serves its own machine, and those who start one know of no certificate.
		tls: isEmbedded ? undefined : tlsFiles(flags),
		embedded: isEmbedded,
		embeddedWait: isEmbedded ? undefined : { ms: embeddedWaitMs, onWait },
	});
	// Whoever started an embedded server reads this line and then closes the pipe.
	process.stdout.write(`millrace server ${version} serving at ${server.address}, data in ${server.dataDirectory}\n`);
	if (server.httpAddress !== undefined) {
		process.stdout.write(`JSON over HTTP at ${server.httpAddress}\n`);
	}
	const signalled = new Promise<void>((resolve) => {
		let isStopping = false;
		stopSignals.deliver((signal) => {
			if (isStopping) {
				process.exit(signalExitCode(signal));
			}
			// An embedded server is there for all who are connected: neither Ctrl-C nor a closed terminal of one ends it.
			if (!isEmbedded || signal === "SIGTERM") {
				isStopping = true;
				resolve();
			}
		});
	});
	const unused = (listen: (count: number) => void) => {
		server.onConnectionCount(listen);
		listen(server.connectionCount);
	};
	await Promise.race(isEmbedded ? [signalled, untilUnused(unused)] : [signalled]);
	await server.close();
}

/** A flag of TLS, and its variable: MILLRACE_TLS_CERT is that of a client. */
function tlsFile(flag: string, description: string): Option {
	const variable = flag.replace("--", "MILLRACE_SERVER_").replaceAll("-", "_").toUpperCase();
	return new Option(`${flag} <file>`, description).env(variable).helpGroup("TLS:");
}

function tlsFiles({ tlsCert, tlsKey, tlsClientCa }: ServerFlags): ServerTlsFiles | undefined {
	const isAsked = tlsCert || tlsKey || tlsClientCa;
	return isAsked ? { cert: tlsCert ?? "", key: tlsKey ?? "", clientCa: tlsClientCa } : undefined;
}

function port(text: string): number {
	const value = Number(text);
	if (!/^\d{1,5}$/.test(text) || value > 65_535) {
		throw new InvalidArgumentError("Give a number from 0 to 65535.");
	}
	return value;
}

function limitsOf({ maxCallsPerSecond, maxConnections, maxStreamsPerConnection }: ServerFlags) {
	const given = Object.entries({ maxCallsPerSecond, maxConnections, maxStreamsPerConnection });
	return Object.fromEntries(given.filter(([, value]) => value !== undefined));
}

function count(text: string): number {
	if (!/^[1-9]\d{0,8}$/.test(text)) {
		throw new InvalidArgumentError("Give a whole number from 1 on.");
	}
	return Number(text);
}

function leaseMs(text: string): number {
	const seconds = Number(text);
	if (!/^\d+(\.\d+)?$/.test(text) || seconds < 0.1 || seconds > 86_400) {
		throw new InvalidArgumentError("Give a number of seconds from 0.1 to 86400.");
	}
	return Math.round(seconds * 1000);
}
