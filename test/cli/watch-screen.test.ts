import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import { WatchScreen } from "../../src/cli/watch-screen.js";
import { withMessages } from "../../src/sdk/trial-activity.js";
import { keptTerminal } from "../support/kept-terminal.js";
import { madeActivity, madeRun } from "../support/made-activity.js";
import { waitUntil } from "../support/wait-until.js";

const idle = { recordsPerSecond: null, secondsLeft: null };
const running = withMessages(madeActivity());
const ended = withMessages(
	madeActivity({ state: "COMPLETED", run: madeRun({ state: "COMPLETED" }), workers: [], ...idle }),
);

function startScreen(now = () => 0) {
	const kept = keptTerminal({ columns: 80, rows: 24, now });
	const listeners = process.listenerCount("SIGINT");
	const screen = new WatchScreen(kept.terminal);
	after(() => screen.close());
	return { ...kept, screen, listeners };
}

/** What each drawing put on the terminal. */
function frames(output: string): string[] {
	const drawn = output.split("\x1b[H").slice(1);
	return drawn.map((frame) => frame.replaceAll("\x1b[K", "").split("\x1b[J")[0] ?? "");
}

describe("WatchScreen", () => {
	it("draws over what it drew, and leaves the terminal as it was with a last line", async () => {
		const { screen, stdout, listeners } = startScreen();
		await screen.show(running, false);
		assert.ok(stdout().startsWith("\x1b[?1049h\x1b[?7l\x1b[?25l\x1b[H"));
		await screen.show(running, false);
		assert.equal(frames(stdout()).length, 2);
		const lines = frames(stdout())[1]?.split("\r\n");
		assert.match(lines?.[0] ?? "", /^trial 5 of experiment 3 \(doubler\), run 2: RUNNING /);
		assert.match(lines?.at(-1) ?? "", /^ {3}3 {2}gpu-box /);
		await screen.show(ended, true);
		const [, after] = stdout().split("\x1b[?25h\x1b[?7h\x1b[?1049l");
		assert.equal(after, "trial 5 COMPLETED: 4,096 / 10,000 records (40 %); the trial is completed\n");
		assert.equal(process.listenerCount("SIGINT"), listeners);
	});

	it("draws again at once where the terminal has another size", async () => {
		const { screen, stdout, resize } = startScreen();
		await screen.show(running, false);
		resize(40, 8);
		const drawn = frames(stdout());
		assert.equal(drawn.length, 2);
		const lines = (drawn[1] ?? "").split("\r\n");
		assert.ok(lines.length <= 8, drawn[1]);
		assert.equal(lines[0], "trial 5 of experiment 3 (doubler), run");
	});

	it("says that the server does not answer", async () => {
		let now = 0;
		const { screen, stdout } = startScreen(() => now);
		await screen.show(running, false);
		now = 12_000;
		await waitUntil("a word on the server", () =>
			frames(stdout()).at(-1)?.includes("no answer from the server for 12 s"),
		);
		await screen.show(running, false);
		assert.doesNotMatch(frames(stdout()).at(-1) ?? "", /no answer/);
	});
});
