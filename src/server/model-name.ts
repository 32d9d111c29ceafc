import { MillraceError } from "../errors.js";
import { assertPlainText } from "./request-checks.js";

/** Throws `invalid_argument` if a model cannot have this name. A name of digits only would be taken for an id. */
export function assertModelName(name: string): void {
	assertPlainText("name", name, 1000);
	const rules: [broken: boolean, message: string][] = [
		[/^ *$/.test(name), "model names cannot be blank"],
		[name.includes("  "), "model names cannot have excessive spacing"],
		[/[/\\]/.test(name), "model names cannot have slashes"],
		[/^\d+$/.test(name), "model names cannot be only numbers"],
	];
	const rule = rules.find(([broken]) => broken);
	if (rule !== undefined) {
		throw new MillraceError("invalid_argument", `name is ${JSON.stringify(name)}; ${rule[1]}`);
	}
}
