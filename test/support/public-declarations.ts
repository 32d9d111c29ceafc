import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** The options of a careful user's project, without those of its modules. */
export const strictOptions = {
	strict: true,
	exactOptionalPropertyTypes: true,
	skipLibCheck: false,
	noEmit: true,
	target: "es2023",
	lib: ["es2023"],
	types: [],
} as const;

/** The two ways in which a user's project finds a package's modules. */
export const moduleOptions = [
	{ module: "nodenext", moduleResolution: "nodenext" },
	{ module: "esnext", moduleResolution: "bundler" },
] as const;

/** The package's entries that have declarations: what users import, and the file of its types. */
export function publicEntries(): { readonly name: string; readonly types: string }[] {
	const { name, exports } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
		name: string;
		exports: Record<string, string | { types: string }>;
	};
	return Object.entries(exports).flatMap(([path, target]) =>
		typeof target === "string" ? [] : [{ name: name + path.slice(1), types: join(root, target.types) }],
	);
}

/** Compiles files with the options of a tsconfig.json. */
export function compile(files: readonly string[], compilerOptions: object): ts.Program {
	const { options, errors } = ts.convertCompilerOptionsFromJson(compilerOptions, root);
	if (errors.length > 0) {
		throw new Error(ts.formatDiagnostics(errors, diagnosticsHost));
	}
	return ts.createProgram(files, options);
}

/** What the compiler has to say of a program, one text for each error. */
export function errorsOf(program: ts.Program): string[] {
	return ts.getPreEmitDiagnostics(program).map((diagnostic) => ts.formatDiagnostic(diagnostic, diagnosticsHost));
}

/** Every place of our declarations in a program whose type is `any`, written or resolved, as `file:line text`. */
export function findAny(program: ts.Program, isOurs: (file: string) => boolean): string[] {
	const checker = program.getTypeChecker();
	return program
		.getSourceFiles()
		.filter(({ fileName }) => isOurs(fileName))
		.flatMap((source) => {
			const found: string[] = [];
			const visit = (node: ts.Node): void => {
				if (ts.isClassElement(node) && isPrivate(node)) {
					// Its type is left out of declarations.
					return;
				}
				if (hasType(node) && checker.getTypeAtLocation(node).flags & ts.TypeFlags.Any) {
					const { line } = source.getLineAndCharacterOfPosition(node.getStart());
					found.push(`${source.fileName}:${line + 1} ${node.getText()}`);
				}
				ts.forEachChild(node, visit);
			};
			visit(source);
			return found;
		});
}

function isPrivate(node: ts.ClassElement): boolean {
	return (
		(ts.canHaveModifiers(node) && ts.getModifiers(node)?.some(({ kind }) => kind === ts.SyntaxKind.PrivateKeyword)) ||
		(node.name !== undefined && ts.isPrivateIdentifier(node.name))
	);
}

function hasType(node: ts.Node): boolean {
	return (
		ts.isTypeNode(node) ||
		ts.isVariableDeclaration(node) ||
		ts.isParameter(node) ||
		ts.isPropertyDeclaration(node) ||
		ts.isPropertySignature(node) ||
		ts.isAccessor(node)
	);
}

/**
 * Writes a program that imports everything from an entry, and calls every function and every method of it with
 * arguments of the types that it declares.
 */
export function programOfEveryMethod(program: ts.Program, entry: { name: string; types: string }): string {
	const checker = program.getTypeChecker();
	const source = program.getSourceFile(entry.types);
	const module = source && checker.getSymbolAtLocation(source);
	if (module === undefined) {
		throw new Error(`${entry.types} is no module; was the package built?`);
	}
	const lines = [`import * as entry from ${JSON.stringify(entry.name)};`];
	const call = (path: string, callee: string) =>
		lines.push(`export const call${lines.length} = (given: Parameters<${path}>) => ${callee}(...given);`);
	for (const exported of checker.getExportsOfModule(module)) {
		const symbol = exported.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(exported) : exported;
		const { name } = exported;
		if (symbol.flags & ts.SymbolFlags.Function) {
			call(`typeof entry.${name}`, `entry.${name}`);
		}
		if (symbol.flags & (ts.SymbolFlags.Class | ts.SymbolFlags.Interface)) {
			const type = `entry.${name}${typeArguments(symbol)}`;
			for (const member of checker.getDeclaredTypeOfSymbol(symbol).getProperties()) {
				if (isCallable(checker, member) && /^\w+$/.test(member.name)) {
					const path = `NonNullable<${type}[${JSON.stringify(member.name)}]>`;
					lines.push(`declare const self${lines.length}: ${type};`);
					const self = `self${lines.length - 1}`;
					call(path, `${self}.${member.name}${member.flags & ts.SymbolFlags.Optional ? "?." : ""}`);
				}
			}
		}
		if (symbol.flags & ts.SymbolFlags.Class) {
			for (const member of checker.getTypeOfSymbol(symbol).getProperties()) {
				if (isCallable(checker, member) && member.name !== "prototype" && isDeclaredIn(member, symbol)) {
					call(`(typeof entry.${name})[${JSON.stringify(member.name)}]`, `entry.${name}.${member.name}`);
				}
			}
		}
	}
	return `${lines.join("\n")}\n`;
}

function isCallable(checker: ts.TypeChecker, member: ts.Symbol): boolean {
	return checker.getNonNullableType(checker.getTypeOfSymbol(member)).getCallSignatures().length > 0;
}

/** Leaves out what a class inherits, such as the statics of Error. */
function isDeclaredIn(member: ts.Symbol, owner: ts.Symbol): boolean {
	return member.declarations?.some(({ parent }) => owner.declarations?.some((node) => node === parent)) ?? false;
}

/** Arguments for the type parameters of a class or an interface: what they default to or extend, else unknown. */
function typeArguments(symbol: ts.Symbol): string {
	const [declaration] = symbol.declarations ?? [];
	const parameters =
		declaration && (ts.isClassDeclaration(declaration) || ts.isInterfaceDeclaration(declaration))
			? (declaration.typeParameters ?? [])
			: [];
	const given = new Map<string, string>();
	for (const { name, default: initial, constraint } of parameters) {
		const type = (initial ?? constraint)?.getText() ?? "unknown";
		// A parameter may default to one before it, and extend another type of the entry.
		given.set(
			name.text,
			type.replace(/\b[A-Z]\w*/g, (word) => given.get(word) ?? `entry.${word}`),
		);
	}
	return given.size === 0 ? "" : `<${[...given.values()].join(", ")}>`;
}

const diagnosticsHost: ts.FormatDiagnosticsHost = {
	getCanonicalFileName: (name) => name,
	getCurrentDirectory: () => root,
	getNewLine: () => "\n",
};
