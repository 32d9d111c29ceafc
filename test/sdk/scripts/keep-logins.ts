import { once } from "node:events";
import { forgetToken, keepLogin } from "../../../src/sdk/token-file.js";

// A process that keeps many logins, and forgets every second one again, from when it is told to.
const name = process.env.NAME ?? "";
const count = Number(process.env.COUNT);
console.log("ready");
await once(process.stdin, "data");
process.stdin.destroy();
for (let i = 0; i < count; i++) {
	await keepLogin([`${name}-${i}:1`], { username: name, token: `mlr_${name}_${i}`, expireTime: null });
	if (i % 2 === 1) {
		await forgetToken(`mlr_${name}_${i}`);
	}
}
