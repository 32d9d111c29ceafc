import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { MillraceError } from "../../src/errors.js";
import { type AsyncList, asyncList, pagedList } from "../../src/sdk/async-list.js";
import { type MethodKinds, type Pending, pending } from "../../src/sdk/pending.js";

class Leaf {
	readonly #name: string;
	constructor(name: string) {
		this.#name = name;
	}
	shout(mark: string): Promise<string> {
		return Promise.resolve(this.#name + mark);
	}
	count(to: number): AsyncList<number> {
		return asyncList(async function* () {
			for (let i = 1; i <= to; i++) {
				yield i;
			}
		});
	}
}

class Branch {
	readonly title = "branch";
	leaf(name: string | null): Pending<Leaf | null, Leaf> {
		return pending(async () => (name === null ? null : new Leaf(name)), leafMethods, "this branch is bare");
	}
}

const leafMethods: MethodKinds<Leaf> = { shout: "promise", count: "list" };
const branchMethods: MethodKinds<Branch> = { leaf: () => leafMethods };

function counted<T>(load: () => Promise<T>) {
	const fetch = async () => {
		fetch.count++;
		return load();
	};
	fetch.count = 0;
	return fetch;
}

describe("pending", { timeout: 10_000 }, () => {
	it("is awaited for the object, which is not itself awaitable", async () => {
		const branch = new Branch();
		const got = await pending(async () => branch, branchMethods);
		assert.equal(got, branch);
		assert.equal("then" in got, false);
	});

	it("carries the object's methods, however deep the chain", async () => {
		const chain = pending(async () => new Branch(), branchMethods);
		assert.equal(await chain.leaf("oak").shout("!"), "oak!");
		assert.deepEqual(await chain.leaf("oak").count(3), [1, 2, 3]);
		const seen: number[] = [];
		for await (const number of chain.leaf("oak").count(2)) {
			seen.push(number);
		}
		assert.deepEqual(seen, [1, 2]);
	});

	it("fetches nothing until it is used, and then once", async () => {
		const load = counted(async () => new Branch());
		const chain = pending(load, branchMethods);
		const leaf = chain.leaf("oak");
		const numbers = leaf.count(1);
		assert.equal(load.count, 0);
		await Promise.all([numbers, leaf, chain, chain]);
		assert.equal(load.count, 1);
	});

	it("gives the same error to each form, and tries again at the next use", async () => {
		let fails = true;
		const load = counted(async () => {
			if (fails) {
				throw new MillraceError("not_found", "no such branch");
			}
			return new Branch();
		});
		const chain = pending(load, branchMethods);
		const error = { code: "not_found", message: "no such branch" };
		await assert.rejects(async () => await chain, error);
		await assert.rejects(async () => await chain.leaf("oak"), error);
		await assert.rejects(chain.leaf("oak").shout("!"), error);
		await assert.rejects(async () => await chain.leaf("oak").count(1), error);
		fails = false;
		assert.equal((await chain).title, "branch");
		assert.equal(load.count, 5);
	});

	it("gives null when awaited for what is absent, and not_found when a method is called on it", async () => {
		const leaf = pending(async () => new Branch(), branchMethods).leaf(null);
		assert.equal(await leaf, null);
		await assert.rejects(leaf.shout("!"), { code: "not_found", message: "this branch is bare" });
	});
});

describe("pagedList", { timeout: 10_000 }, () => {
	const pages: Record<string, { items: number[]; nextPageToken: string }> = {
		"": { items: [1, 2], nextPageToken: "b" },
		b: { items: [], nextPageToken: "c" },
		c: { items: [3], nextPageToken: "" },
	};

	it("reads all pages, empty ones too, and anew at each use", async () => {
		const tokens: string[] = [];
		const list = pagedList(async ({ pageToken }) => {
			tokens.push(pageToken);
			return pages[pageToken] as { items: number[]; nextPageToken: string };
		});
		assert.deepEqual(tokens, []);
		assert.deepEqual(await list, [1, 2, 3]);
		assert.deepEqual(await list, [1, 2, 3]);
		assert.deepEqual(tokens, ["", "b", "c", "", "b", "c"]);
	});

	it("reads no page that nobody wants", async () => {
		let fetched = 0;
		const list = pagedList(async ({ pageToken }) => {
			fetched++;
			return pages[pageToken] as { items: number[]; nextPageToken: string };
		});
		for await (const item of list) {
			assert.equal(item, 1);
			break;
		}
		assert.equal(fetched, 1);
	});
});
