import type { X509Certificate } from "node:crypto";
import { MillraceError } from "../errors.js";
import type { Channel } from "./channel.js";
import type { ChannelTls } from "./channel-tls.js";
import { hostOf } from "./host-of.js";
import { answersByHttp1 } from "./http1-probe.js";
import { sleep } from "./retry.js";
import { isAnswer } from "./status.js";
import { certificatesOf, probeTls } from "./tls-probe.js";

/** The names of a setting for those who use the SDK, the environment, and the command. */
const settings = {
	tls: "tls: true (MILLRACE_TLS=1, --tls)",
	ca: "tls.ca (MILLRACE_TLS_CA, --tls-ca)",
	pair: "tls.cert and tls.key (MILLRACE_TLS_CERT and MILLRACE_TLS_KEY, --tls-cert and --tls-key)",
	serverName: "tls.serverName (MILLRACE_TLS_SERVER_NAME, --tls-server-name)",
} as const;

const rightPort = "give the address of the gRPC port, which millrace server prints";

/** How long a server that is ending may take until it is gone, in milliseconds. */
const againMs = 300;

/**
 * Finds out, by connections of its own, whether a call has failed because the two sides do not speak the same: for TLS, or
 * as the address is that of a port for HTTP/1. Returns the error that says so: `unauthenticated` if the server wants a
 * certificate of this client, else `failed_precondition`. Undefined if that is not to blame, or the server gives no answer
 * in time.
 */
export async function findTlsFault(
	{ address, security: { tls } }: Pick<Channel, "address" | "security">,
	failure: MillraceError,
	signal?: AbortSignal,
): Promise<MillraceError | undefined> {
	if (isAnswer(failure) || isAboutAbsence(failure)) {
		return undefined;
	}
	const server = `the server at ${address}`;
	const fault = (message: string) => new MillraceError("failed_precondition", message);
	if (tls === undefined && (await answersByHttp1(address, signal))) {
		return fault(`${server} speaks HTTP/1, but not gRPC; ${rightPort}`);
	}
	const probe = await probeTls(address, tls ?? {}, signal);
	if (tls === undefined) {
		return probe.kind === "plain" || probe.kind === "unknown"
			? undefined
			: fault(
					`${server} speaks TLS, but this client speaks plain text; ` +
						`give the certificate of the server's CA as ${settings.ca}, or ${settings.tls} if the CA is a public one`,
				);
	}
	switch (probe.kind) {
		case "plain":
			return fault(
				`${server} speaks plain text, but this client speaks TLS; ` +
					`start the server with --tls-cert and --tls-key, or leave out tls (the MILLRACE_TLS_ variables, the --tls flags)`,
			);
		case "untrusted":
			return fault(untrusted(address, tls, probe.reason, probe.certificate));
		case "alert":
			if (probe.code.endsWith("ALERT_NO_APPLICATION_PROTOCOL")) {
				return fault(`${server} speaks TLS, but not gRPC; ${rightPort}`);
			}
			return isAboutCertificate(probe.code, tls) ? unwelcome(server, tls) : undefined;
		case "dropped":
			// Node's servers refuse a certificate of another CA like this, and servers that are just ending too; those are gone
			// when they are asked again.
			await sleep(againMs, signal).catch(() => {});
			return tls.cert !== undefined && (await probeTls(address, tls, signal)).kind === "dropped"
				? unwelcome(server, tls)
				: undefined;
		default:
			return undefined;
	}
}

/** Why a server's certificate is no good, in a sentence. */
function untrusted(address: string, tls: ChannelTls, reason: string, certificate: X509Certificate): string {
	const server = `the server at ${address}`;
	const owned = `the certificate of ${server} (${nameOf(certificate.subject)})`;
	const roots = tls.ca === undefined ? [] : certificatesOf(tls.ca);
	switch (reason) {
		case "ERR_TLS_CERT_ALTNAME_INVALID": {
			const expected = tls.serverName ?? hostOf(address);
			const names = hostNamesOf(certificate);
			return (
				`the certificate of ${server} is for ${names.join(", ") || "no name at all"}, and not for ${expected}; connect by ` +
				`the name that it is for, or give that as ${settings.serverName}`
			);
		}
		case "CERT_HAS_EXPIRED": {
			const root = roots.find((candidate) => !isValid(candidate));
			return isValid(certificate)
				? `${owned} is of a CA whose own certificate has expired${root === undefined ? "" : ` (${nameOf(root.subject)}, on ${dateOf(root.validTo)})`}; ` +
						"the server needs a certificate of another"
				: `${owned} expired on ${dateOf(certificate.validTo)}; the server needs a new one`;
		}
		case "CERT_NOT_YET_VALID":
			return (
				`${owned} is valid only from ${dateOf(certificate.validFrom)} on, and the clock of this machine says ` +
				`${new Date().toISOString()}; set the clock, or give the server a certificate that is valid now`
			);
	}
	const issuer = nameOf(certificate.issuer);
	const known = roots.map(({ subject }) => nameOf(subject));
	const trusted = known.length === 0 ? "only the public CAs" : `only ${known.join(", ")}`;
	const why = known.includes(issuer)
		? `${owned} was not issued by the ${issuer} that this client trusts, but by another of that name`
		: `${owned} was issued by ${issuer}, and this client trusts ${trusted}`;
	return isIssuerUnknown(reason)
		? `${why}; give the certificate of the server's CA as ${settings.ca}`
		: `${owned}, issued by ${issuer}, is refused: ${reason}; the server needs another`;
}

/** Why a server wants no connection with the certificate that this client showed, or that it did not show. */
function unwelcome(server: string, { cert }: ChannelTls): MillraceError {
	const [shown] = cert === undefined ? [] : certificatesOf(cert);
	if (shown === undefined) {
		const message = `${server} asks for a certificate of this client, which has none; give one of the server's client CA as ${settings.pair}`;
		return new MillraceError("unauthenticated", message);
	}
	const about = isValid(shown)
		? `issued by ${nameOf(shown.issuer)}`
		: `valid from ${dateOf(shown.validFrom)} to ${dateOf(shown.validTo)}`;
	return new MillraceError(
		"unauthenticated",
		`${server} refuses the certificate of this client (${nameOf(shown.subject)}, ${about}); ` +
			`give one of the CA that the server was started with (--tls-client-ca) as ${settings.pair}`,
	);
}

/** Whether nobody was there who could speak TLS or plain text: what the system, grpc-js and call-guard.ts say then. */
function isAboutAbsence({ message }: MillraceError): boolean {
	return /^(connect E|getaddrinfo |Name resolution failed|no connection to )/.test(message);
}

function isAboutCertificate(alert: string, { cert }: ChannelTls): boolean {
	return (
		/ALERT_(CERTIFICATE|BAD_CERTIFICATE|UNSUPPORTED_CERTIFICATE|UNKNOWN_CA|ACCESS_DENIED)/.test(alert) ||
		// What TLS 1.2 says of one that is missing; it says the same where the ends have nothing in common.
		(cert === undefined && alert.endsWith("HANDSHAKE_FAILURE"))
	);
}

function isIssuerUnknown(reason: string): boolean {
	return /SELF_SIGNED|UNABLE_TO|SIGNATURE_FAILURE|UNTRUSTED|INVALID_CA/.test(reason);
}

/** The last and most telling part of a subject, as `CN=gpu-box`. */
function nameOf(subject: string | undefined): string {
	const parts = (subject ?? "").split("\n").filter((part) => part !== "");
	return parts.find((part) => part.startsWith("CN=")) ?? (parts.join(", ") || "no name");
}

function hostNamesOf({ subject, subjectAltName }: X509Certificate): string[] {
	const names = (subjectAltName ?? "")
		.split(", ")
		.flatMap((entry) => /^(?:DNS|IP Address):(.*)$/.exec(entry)?.[1] ?? []);
	return names.length > 0 ? names : [nameOf(subject).replace(/^CN=/, "")];
}

function isValid({ validFrom, validTo }: X509Certificate): boolean {
	return Date.parse(validFrom) <= Date.now() && Date.now() <= Date.parse(validTo);
}

function dateOf(text: string): string {
	return new Date(text)
		.toISOString()
		.replace(/:\d\d\.\d{3}Z$/, "Z")
		.replace("T", " ");
}
