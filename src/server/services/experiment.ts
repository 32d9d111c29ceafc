import { create } from "@bufbuild/protobuf";
import { MillraceError } from "../../errors.js";
import { ExperimentSortBy, ExperimentState } from "../../gen/millrace/v1/experiment_pb.js";
import {
	CreateExperimentResponseSchema,
	DeleteExperimentResponseSchema,
	type ExperimentService,
	type UpdateExperimentRequest,
	UpdateExperimentResponseSchema,
} from "../../gen/millrace/v1/experiment_service_pb.js";
import { OrderBy } from "../../gen/millrace/v1/list_pb.js";
import { TrialRunState } from "../../gen/millrace/v1/trial_pb.js";
import type { ServiceHandlers } from "../../rpc/handler.js";
import { asUser } from "../auth/as-user.js";
import { activateExperiment, cancelExperiment, killExperiment, pauseExperiment } from "../db/experiment-control.js";
import { deleteExperiment } from "../db/experiment-deletion.js";
import { experimentSort, listExperiments } from "../db/experiment-list.js";
import {
	archiveExperiment,
	createExperiment,
	getExperiment,
	soleProject,
	toExperiment,
	unarchiveExperiment,
	updateExperiment,
} from "../db/experiments.js";
import { once } from "../db/request-ids.js";
import { containsPattern } from "../db/text-filter.js";
import { checkedLabels } from "../labels.js";
import { isDescending, parseSortedPage } from "../page-token.js";
import {
	assertEnum,
	assertId,
	assertNotNegative,
	assertPlainText,
	assertRequestId,
	checkedConfig,
} from "../request-checks.js";
import { storageOf } from "../storage-config.js";
import type { ServiceContext } from "./service-context.js";

/** The most characters of a name, a description, and notes. */
const longest = { name: 1_000, description: 65_536, notes: 1_000_000 } as const;

/** Operates on experiments. */
export function createExperimentService({
	db,
	defaultStorage,
	checkpointFiles,
	outputRemovals,
	runClosed,
}: ServiceContext): ServiceHandlers<typeof ExperimentService> {
	return {
		async createExperiment(request, { caller }) {
			assertRequestId(request.requestId);
			const config = checkedConfig("config", request.config);
			const { name, description } = config;
			assertPlainText("config.name", name, longest.name);
			assertPlainText("config.description", description, longest.description);
			const labels = checkedLabels("config.labels", config.labels);
			const username = asUser(caller).username;
			return db.write((tx) =>
				once(tx, request.requestId, CreateExperimentResponseSchema, async () => {
					const storage = storageOf(config.checkpoint_storage, defaultStorage);
					const experiment = await createExperiment(tx, { name, description, labels, config, storage, username });
					return create(CreateExperimentResponseSchema, { experiment });
				}),
			);
		},

		async getExperiment({ experimentId }) {
			assertId("experiment_id", experimentId);
			return { experiment: await getExperiment(db, experimentId) };
		},

		async listExperiments(request) {
			assertEnum("sort_by", ExperimentSortBy, request.sortBy);
			for (const [i, state] of request.states.entries()) {
				assertEnum(`states[${i}]`, ExperimentState, state);
			}
			assertNotNegative("project_id", request.projectId);
			const isNewestFirst = request.sortBy === ExperimentSortBy.UNSPECIFIED;
			const descending = isDescending(request.orderBy, isNewestFirst ? OrderBy.DESC : OrderBy.ASC);
			const page = parseSortedPage(request, experimentSort(request.sortBy, descending));
			const filter = {
				ids: request.experimentIds,
				labels: request.labels,
				usernames: request.usernames,
				states: request.states,
				name: containsPattern("name", request.name),
				description: containsPattern("description", request.description),
				archived: request.archived,
			};
			if (request.projectId > soleProject) {
				return {};
			}
			const { rows, nextPageToken } = page.take(
				await listExperiments(db, filter, page),
				(row) => [row.sort_key, row.id],
				(row) => row.config.length + row.notes.length + row.description.length,
			);
			return { experiments: rows.map(toExperiment), nextPageToken };
		},

		async updateExperiment(request) {
			assertRequestId(request.requestId);
			assertId("experiment_id", request.experimentId);
			assertUpdate(request);
			const { name, description, notes } = request;
			const labels = labelChange(request);
			return db.write((tx) =>
				once(tx, request.requestId, UpdateExperimentResponseSchema, async () => {
					const update = { name, description, notes, labels };
					const experiment = await updateExperiment(tx, request.experimentId, update);
					return create(UpdateExperimentResponseSchema, { experiment });
				}),
			);
		},

		async pauseExperiment({ experimentId }) {
			assertId("experiment_id", experimentId);
			return db.write(async (tx) => {
				await pauseExperiment(tx, experimentId);
				return { experiment: await getExperiment(tx, experimentId) };
			});
		},

		async activateExperiment({ experimentId }) {
			assertId("experiment_id", experimentId);
			return db.write(async (tx) => {
				await activateExperiment(tx, experimentId);
				return { experiment: await getExperiment(tx, experimentId) };
			});
		},

		async cancelExperiment({ experimentId }) {
			assertId("experiment_id", experimentId);
			return db.write(async (tx) => {
				await cancelExperiment(tx, experimentId);
				return { experiment: await getExperiment(tx, experimentId) };
			});
		},

		async killExperiment({ experimentId }) {
			assertId("experiment_id", experimentId);
			const reason = "a user killed the experiment";
			const { closed, experiment } = await db.write(async (tx) => ({
				closed: await killExperiment(tx, experimentId, reason),
				experiment: await getExperiment(tx, experimentId),
			}));
			for (const { trialId, trialRunId } of closed) {
				runClosed(trialId, trialRunId, TrialRunState.KILLED, reason);
			}
			return { experiment };
		},

		async archiveExperiment({ experimentId }) {
			assertId("experiment_id", experimentId);
			return { experiment: await db.write((tx) => archiveExperiment(tx, experimentId)) };
		},

		async unarchiveExperiment({ experimentId }) {
			assertId("experiment_id", experimentId);
			return { experiment: await db.write((tx) => unarchiveExperiment(tx, experimentId)) };
		},

		async deleteExperiment({ requestId, experimentId }) {
			assertRequestId(requestId);
			assertId("experiment_id", experimentId);
			let checkpointUuids: readonly string[] = [];
			const response = await db.write((tx) =>
				once(tx, requestId, DeleteExperimentResponseSchema, async () => {
					checkpointUuids = await deleteExperiment(tx, experimentId);
					return create(DeleteExperimentResponseSchema);
				}),
			);
			await Promise.all([outputRemovals.remove(), checkpointFiles.remove(checkpointUuids)]);
			return response;
		},
	};
}

function assertUpdate({ name, description, notes }: UpdateExperimentRequest): void {
	if (name !== undefined && name.trim() === "") {
		throw new MillraceError("invalid_argument", "name is blank; give the experiment a name, or leave it out");
	}
	for (const [field, text] of Object.entries({ name, description, notes })) {
		assertPlainText(field, text ?? "", longest[field as keyof typeof longest]);
	}
}

/** Returns what a request makes of labels: it sets, then adds, then removes. */
function labelChange(request: UpdateExperimentRequest): (labels: readonly string[]) => string[] {
	const all = request.labels && checkedLabels("labels.labels", request.labels.labels);
	const added = checkedLabels("add_labels", request.addLabels);
	const removed = new Set(request.removeLabels);
	return (labels) =>
		checkedLabels(
			"labels",
			[...(all ?? labels), ...added].filter((label) => !removed.has(label)),
		);
}
