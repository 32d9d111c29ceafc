import { existsSync } from "node:fs";
import ts from "typescript";

const entries = ["src/sdk/index.ts", "src/runtime/index.ts", "src/testing/index.ts"].filter((path) => existsSync(path));

/** What the entries of the package export, as TypeScript sees it. */
export class PublicNames {
	readonly #checker: ts.TypeChecker;
	readonly #exports = new Map<string, ts.Symbol>();

	constructor() {
		const { config } = ts.readConfigFile("tsconfig.json", ts.sys.readFile);
		const { options } = ts.parseJsonConfigFileContent(config, ts.sys, ".");
		const program = ts.createProgram(entries, options);
		this.#checker = program.getTypeChecker();
		for (const path of entries) {
			const source = program.getSourceFile(path);
			const module = source && this.#checker.getSymbolAtLocation(source);
			for (const symbol of module ? this.#checker.getExportsOfModule(module) : []) {
				this.#exports.set(symbol.name, this.#resolved(symbol));
			}
		}
	}

	/** Says what is missing of `Owner.method(a, { option })`, `Owner.field` or `call(…)`; undefined if nothing is. */
	missing(name: string): string | undefined {
		const [, path = "", args = ""] = /^([\w.]+)(?:\((.*)\))?$/.exec(name) ?? [];
		const types = this.#typesAt(path.split("."));
		if (types.length === 0) {
			return path === "" ? `no name: ${name}` : path;
		}
		if (!name.includes("(")) {
			return undefined;
		}
		const signatures = types.flatMap((type) => this.#checker.getNonNullableType(type).getCallSignatures());
		if (signatures.length === 0) {
			return `${path} is no method`;
		}
		const parameters = signatures.flatMap((signature) => signature.getParameters());
		const candidates = parameters.map((parameter) => this.#checker.getTypeOfSymbol(parameter));
		const options = this.#exports.get(`${path.charAt(0).toUpperCase()}${path.slice(1)}Options`);
		if (options !== undefined) {
			candidates.push(this.#checker.getDeclaredTypeOfSymbol(options));
		}
		const wanted = optionsIn(args);
		const absent = wanted.find((option) => !candidates.some((type) => this.#property(type, option)));
		return absent === undefined ? undefined : `${path} has no option ${absent}`;
	}

	/** The public methods of all exported classes, as `Class.method`. */
	methods(): string[] {
		return [...this.#exports.values()].flatMap((symbol) => {
			const isError = symbol.name.endsWith("Error");
			return (symbol.flags & ts.SymbolFlags.Class) === 0 || isError ? [] : this.#methodsOf(symbol);
		});
	}

	#methodsOf(symbol: ts.Symbol): string[] {
		const methods = this.#checker.getDeclaredTypeOfSymbol(symbol).getProperties();
		return methods
			.filter((member) => (member.flags & ts.SymbolFlags.Method) !== 0 && !isInternal(member))
			.filter((member) => !member.name.includes("#"))
			.map((member) => `${symbol.name}.${member.name}`);
	}

	/** The types that a path may mean: a class's name stands for an object of it, and for itself. */
	#typesAt([first = "", ...rest]: string[]): ts.Type[] {
		const symbol = this.#exports.get(first);
		if (symbol === undefined) {
			return [];
		}
		let types = [this.#checker.getDeclaredTypeOfSymbol(symbol), this.#checker.getTypeOfSymbol(symbol)];
		for (const part of rest) {
			types = types.flatMap((type) => {
				const property = this.#property(type, part);
				return property === undefined || isInternal(property) ? [] : [this.#checker.getTypeOfSymbol(property)];
			});
		}
		return types;
	}

	#property(type: ts.Type, name: string): ts.Symbol | undefined {
		const parts = type.isUnion() ? type.types : [type];
		const found = parts.map((part) => this.#checker.getNonNullableType(part).getProperty(name));
		return found.find((symbol) => symbol !== undefined);
	}

	#resolved(symbol: ts.Symbol): ts.Symbol {
		return (symbol.flags & ts.SymbolFlags.Alias) === 0 ? symbol : this.#checker.getAliasedSymbol(symbol);
	}
}

/** The names within the braces of an argument list. */
export function optionsIn(args: string): string[] {
	const [, inner = ""] = /\{([^}]*)\}/.exec(args) ?? [];
	return inner.split(",").flatMap((name) => (name.trim() === "" ? [] : [name.trim()]));
}

function isInternal(symbol: ts.Symbol): boolean {
	return symbol.getJsDocTags().some(({ name }) => name === "internal");
}
