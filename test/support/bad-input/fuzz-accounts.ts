import { randomUUID } from "node:crypto";
import { AuthService } from "../../../src/gen/millrace/v1/auth_service_pb.js";
import { Channel } from "../../../src/rpc/channel.js";
import { createRpcClient } from "../../../src/rpc/client.js";

/** Tokens to send bad messages with. */
export interface FuzzTokens {
	/** An admin's, whose id and token no message is likely to hit upon. */
	readonly admin: string;
	/** One to log out with. */
	readonly throwaway: string;
}

/** How many ids of users and of tokens come before those that must last. */
const idsBefore = 12;

/** Gives a server accounts. */
export async function createFuzzAccounts(address: string): Promise<FuzzTokens> {
	const channel = new Channel(address, { connectMs: 20_000, retryMs: 20_000 });
	const auth = createRpcClient(AuthService, channel);
	const password = "the password of root";
	await auth.createUser({ requestId: randomUUID(), username: "root", admin: true, password });
	const { secret } = await auth.login({ requestId: randomUUID(), username: "root", password });
	channel.security = { token: secret };
	for (let i = 0; i < idsBefore; i++) {
		await auth.createUser({ requestId: randomUUID(), username: `user-${i}`, remote: true });
		await auth.createToken({ requestId: randomUUID() });
	}
	const tokenOf = async (username: string, admin: boolean) => {
		const { user } = await auth.createUser({ requestId: randomUUID(), username, admin, remote: true });
		return (await auth.createToken({ requestId: randomUUID(), userId: user?.id ?? 0 })).secret;
	};
	const tokens = { admin: await tokenOf("ivy", true), throwaway: await tokenOf("bob", false) };
	channel.close();
	return tokens;
}
