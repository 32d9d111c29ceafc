import { hostOf } from "../../rpc/host-of.js";
import { networkOf } from "../loopback.js";
import { LoginThrottle } from "./login-throttle.js";
import { isPassword } from "./password.js";

/** Tries passwords, and counts the wrong ones: of each user, by where they come from. */
export class PasswordAttempts {
	readonly #throttle: LoginThrottle;

	/** @param now Tells the time in milliseconds. */
	constructor(now: () => number) {
		this.#throttle = new LoginThrottle(now);
	}

	/**
	 * Tells whether a password is that of a user; the answer is no where there is no hash of it.
	 *
	 * Throws `resource_exhausted` after too many wrong ones, and if too many wait.
	 */
	isRight(username: string, peer: string, password: string, hash: string | null | undefined): Promise<boolean> {
		const network = networkOf(hostOf(peer));
		return this.#throttle.attempt(`${network} ${username}`, () => isPassword(password, hash ?? undefined, network));
	}
}
