import type { CheckpointState, TrialState } from "../sdk/index.js";
import type { TextStyle } from "./terminal.js";

const styles: Readonly<Record<TrialState | CheckpointState, TextStyle | undefined>> = {
	UNSPECIFIED: undefined,
	ACTIVE: "cyan",
	PAUSED: "yellow",
	COMPLETED: "green",
	CANCELED: "yellow",
	ERROR: "red",
	DELETED: "dim",
	PARTIALLY_DELETED: "yellow",
};

/** The style of the state of an experiment, a trial or a checkpoint. */
export function stateStyle({ state }: { readonly state: TrialState | CheckpointState }): TextStyle | undefined {
	return styles[state];
}
