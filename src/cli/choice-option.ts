import { InvalidArgumentError, Option } from "commander";

/** Makes an option whose value is one of some names, in any case. */
export function choiceOption(flags: string, description: string, names: readonly string[]): Option {
	return new Option(flags, description).choices(names).argParser(choiceOf(names));
}

/** Makes an option that may be given several times, each time with one of some names, in any case. */
export function choicesOption(flags: string, description: string, names: readonly string[]): Option {
	const read = choiceOf(names);
	return new Option(flags, `${description}; may be given several times`)
		.choices(names)
		.argParser((text, earlier: readonly string[] = []) => [...earlier, read(text)]);
}

function choiceOf(names: readonly string[]): (text: string) => string {
	return (text) => {
		const name = names.find((candidate) => candidate.toLowerCase() === text.toLowerCase().replaceAll("-", "_"));
		if (name === undefined) {
			throw new InvalidArgumentError(`Give one of ${names.join(", ")}.`);
		}
		return name;
	};
}
