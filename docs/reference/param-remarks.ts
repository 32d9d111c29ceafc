import { type Application, type CommentDisplayPart, Converter, type SignatureReflection } from "typedoc";

/**
 * Gives a method what its doc comment says after a parameter, in a paragraph of its own: what it throws, and its Python
 * name. typedoc would take that for a part of the parameter's description.
 */
export function keepRemarksOfMethods(app: Application): void {
	app.converter.on(Converter.EVENT_CREATE_SIGNATURE, (_context, signature: SignatureReflection) => {
		for (const tag of signature.comment?.blockTags ?? []) {
			if (tag.tag === "@param") {
				const { description, remarks } = split(tag.content);
				tag.content = description;
				signature.comment?.summary.push(...remarks);
			}
		}
	});
}

/** Splits a description at its first empty line. */
function split(content: readonly CommentDisplayPart[]) {
	const at = content.findIndex(({ kind, text }) => kind === "text" && text.includes("\n\n"));
	const part = content[at];
	if (part === undefined) {
		return { description: [...content], remarks: [] };
	}
	const cut = part.text.indexOf("\n\n");
	const before: CommentDisplayPart = { kind: "text", text: part.text.slice(0, cut) };
	const after: CommentDisplayPart = { kind: "text", text: part.text.slice(cut) };
	return { description: [...content.slice(0, at), before], remarks: [after, ...content.slice(at + 1)] };
}
