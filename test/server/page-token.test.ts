import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { OrderBy } from "../../src/gen/millrace/v1/list_pb.js";
import type { Sort } from "../../src/server/db/sorted-page.js";
import { isDescending, parsePage, parseSortedPage } from "../../src/server/page-token.js";
import { errorWith } from "../support/error-with.js";

const byName: Sort = { key: "name", kind: "text", descending: false };
const bySize: Sort = { key: "size", kind: "number", descending: false };
const request = { $typeName: "millrace.v1.ListThingsRequest", pageSize: 2, pageToken: "", labels: ["x"], id: 3n };

describe("parseSortedPage", () => {
	const found = ["a", "b", "c"];
	const token = parseSortedPage(request, byName).take(found, (name) => [name, 7]).nextPageToken;

	it("goes on after the last row of the page before, also with another page size", () => {
		const next = parseSortedPage({ ...request, pageToken: token, pageSize: 1000 }, byName);
		assert.deepEqual(next.after, ["b", 7]);
		assert.deepEqual(
			next.take(["c"], (name) => [name, 7]),
			{ rows: ["c"], nextPageToken: "" },
		);
	});

	it("refuses a token of another list, of other filters, and garbage", () => {
		const refused = errorWith("invalid_argument", /page_token .* is not one of this list/);
		const others = [
			{ ...request, $typeName: "millrace.v1.ListOthersRequest" },
			{ ...request, labels: ["y"] },
			{ ...request, id: 4n },
		];
		for (const other of others) {
			assert.throws(() => parseSortedPage({ ...other, pageToken: token }, byName), refused);
		}
		assert.throws(() => parseSortedPage({ ...request, pageToken: token }, bySize), refused);
		for (const pageToken of [
			"x",
			"\0",
			"\ud800",
			"bnVsbA",
			"W10",
			"x".repeat(1_000_000),
			token.slice(1),
			`${token.slice(0, -4)}AAAA`,
		]) {
			assert.throws(() => parseSortedPage({ ...request, pageToken }, byName), refused);
		}
	});

	it("refuses a negative page size", () => {
		assert.throws(
			() => parseSortedPage({ ...request, pageSize: -1 }, byName),
			errorWith("invalid_argument", /page_size is -1/),
		);
	});

	it("has fewer rows where they are large, and at least one", () => {
		const page = parseSortedPage({ ...request, pageSize: 10 }, byName);
		const rows = [1, 2, 3, 4];
		const taken = (bytes: number) =>
			page.take(
				rows,
				(id) => ["", id],
				() => bytes,
			).rows;
		assert.deepEqual(taken(1000), rows);
		assert.deepEqual(taken(4 * 1024 * 1024), [1, 2]);
		assert.deepEqual(taken(100 * 1024 * 1024), [1]);
		assert.notEqual(
			page.take(
				rows,
				(id) => ["", id],
				() => 1e9,
			).nextPageToken,
			"",
		);
	});
});

describe("parsePage", () => {
	it("refuses a token of another list", () => {
		const token = parsePage("a", request).next(3, () => 5);
		assert.equal(parsePage("a", { pageSize: 1, pageToken: token }).after, 5);
		assert.throws(() => parsePage("b", { pageSize: 1, pageToken: token }), errorWith("invalid_argument", /page_token/));
	});
});

describe("isDescending", () => {
	it("takes the list's own direction where none is given, and refuses what is none", () => {
		assert.equal(isDescending(OrderBy.UNSPECIFIED, OrderBy.DESC), true);
		assert.equal(isDescending(OrderBy.ASC, OrderBy.DESC), false);
		assert.throws(
			() => isDescending(9 as OrderBy, OrderBy.ASC),
			errorWith("invalid_argument", /order_by is 9; .*2 \(DESC\)/),
		);
	});
});
