import { randomUUID } from "node:crypto";
import { AuthService } from "../../src/gen/millrace/v1/auth_service_pb.js";
import { startTrial } from "../server/start-trial.js";
import type { ServerWithAccounts } from "../support/start-server-with-accounts.js";
import { passwords } from "../support/test-passwords.js";
import type { WriteCase } from "./write-cases.js";

/** The writes of AuthService, on a server with accounts, as its admin "ada". */
export const authWriteCases: Readonly<Record<string, WriteCase>> = {
	"AuthService.Login": async (_server, wire) => () =>
		wire.auth.login({ requestId: randomUUID(), username: "bob", password: passwords.bob }),

	"AuthService.Logout": async (_server, wire) => () => wire.auth.logout({}),

	"AuthService.CreateUser": async (_server, wire) => () =>
		wire.auth.createUser({ requestId: randomUUID(), username: "eve", password: passwords.eve }),

	"AuthService.UpdateUser": async (_server, wire) => () =>
		wire.auth.updateUser({
			...{ requestId: randomUUID(), userId: 2, displayName: "Ada", active: true },
			...{ password: "a new password of ada", oldPassword: passwords.ada },
		}),

	"AuthService.CreateToken": async (_server, wire) => () =>
		wire.auth.createToken({ requestId: randomUUID(), description: "nightly job" }),

	"AuthService.CreateWorkerToken": async (server, wire) => {
		const { ada } = server as ServerWithAccounts;
		const trialId = await startTrial({ client: (service) => server.client(service, ada) });
		return () => wire.auth.createWorkerToken({ requestId: randomUUID(), trialId });
	},

	"AuthService.RevokeToken": async (server, wire) => {
		const { token } = await server
			.client(AuthService)
			.login({ requestId: randomUUID(), username: "bob", password: passwords.bob });
		const tokenId = token?.id ?? 0;
		return () => wire.auth.revokeToken({ tokenId });
	},
};
