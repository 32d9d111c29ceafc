import type { DescMethod, DescService, Message, MessageShape } from "@bufbuild/protobuf";
import { AuthService } from "../../gen/millrace/v1/auth_service_pb.js";
import { CheckpointService } from "../../gen/millrace/v1/checkpoint_service_pb.js";
import { ExperimentService } from "../../gen/millrace/v1/experiment_service_pb.js";
import { LogService } from "../../gen/millrace/v1/log_service_pb.js";
import { MetricService } from "../../gen/millrace/v1/metric_service_pb.js";
import { ModelService } from "../../gen/millrace/v1/model_service_pb.js";
import { ProgressService } from "../../gen/millrace/v1/progress_service_pb.js";
import { RendezvousService } from "../../gen/millrace/v1/rendezvous_service_pb.js";
import { ServerService } from "../../gen/millrace/v1/server_service_pb.js";
import { TrialService } from "../../gen/millrace/v1/trial_service_pb.js";
import type { Reader } from "../db/database.js";
import { ownerOfExperiment, ownerOfModel, trialsOfCheckpoints } from "../db/owners.js";

/** Who may call a method. */
export type Access<Request = Message> =
	/** Everyone, also without a token. */
	| "anyone"
	/** Every user, and every worker. */
	| "all"
	/** Every user, but no worker. */
	| "users"
	/** Users who manage accounts. */
	| "admins"
	/** Every user, and the workers of the trials that the request is about. */
	| { readonly trials: (request: Request, db: Reader) => readonly number[] | Promise<readonly number[]> }
	/** Admins, and the user who made what the request is about; all users where it is not there. */
	| { readonly owner: (request: Request, db: Reader) => Promise<string | undefined> };

/** Who may call each method of a service: a new method does not compile without its line. */
type AccessTable<S extends DescService> = {
	readonly [K in keyof S["method"]]: Access<MessageShape<S["method"][K]["input"]>>;
};

const auth: AccessTable<typeof AuthService> = {
	login: "anyone",
	logout: "users",
	getMe: "all",
	// The service asks for an admin, but of a repeated request: the first account is made by someone without one.
	createUser: "anyone",
	getUser: "users",
	listUsers: "users",
	updateUser: "users",
	createToken: "users",
	createWorkerToken: "users",
	listTokens: "users",
	revokeToken: "users",
	listAuditEntries: "admins",
};

const server: AccessTable<typeof ServerService> = { getServerInfo: "anyone" };

const experiments: AccessTable<typeof ExperimentService> = {
	createExperiment: "users",
	getExperiment: "all",
	listExperiments: "all",
	pauseExperiment: "users",
	activateExperiment: "users",
	updateExperiment: "users",
	cancelExperiment: "users",
	killExperiment: "users",
	archiveExperiment: "users",
	unarchiveExperiment: "users",
	deleteExperiment: { owner: ({ experimentId }, db) => ownerOfExperiment(db, experimentId) },
};

const ownTrial = { trials: ({ trialId }: { readonly trialId: number }) => [trialId] };

const trials: AccessTable<typeof TrialService> = {
	createTrial: "users",
	getTrial: "all",
	getTrialActivity: "all",
	listTrials: "all",
	startTrialRun: "users",
	keepTrialRun: "users",
	preemptTrialRun: ownTrial,
	getTrialRun: "all",
	endTrialRun: "users",
	pauseTrial: "users",
	activateTrial: "users",
	killTrial: "users",
	listTrialErrors: "all",
	retryTrialErrors: "users",
	reportTrialSourceInfo: ownTrial,
	listTrialOutputs: "all",
	reportTrialProgress: ownTrial,
	setTrialStatus: ownTrial,
	updateTrialMetadata: ownTrial,
};

const ownCheckpoint = {
	trials: ({ checkpointUuid }: { readonly checkpointUuid: string }, db: Reader) =>
		trialsOfCheckpoints(db, [checkpointUuid]),
};

const checkpoints: AccessTable<typeof CheckpointService> = {
	createCheckpoint: ownTrial,
	completeCheckpoint: ownCheckpoint,
	getCheckpoint: "all",
	listCheckpoints: "all",
	updateCheckpointMetadata: ownCheckpoint,
	removeCheckpointFiles: { trials: ({ checkpointUuids }, db) => trialsOfCheckpoints(db, checkpointUuids) },
	readCheckpointFile: "all",
	writeCheckpointFile: ownCheckpoint,
};

const models: AccessTable<typeof ModelService> = {
	createModel: "users",
	getModel: "all",
	listModels: "all",
	registerModelVersion: "users",
	getModelVersion: "all",
	listModelVersions: "all",
	updateModel: "users",
	archiveModel: "users",
	unarchiveModel: "users",
	deleteModel: { owner: ({ model }, db) => ownerOfModel(db, model) },
	listModelLabels: "all",
	updateModelVersion: "users",
	deleteModelVersion: { owner: ({ model }, db) => ownerOfModel(db, model) },
};

const metrics: AccessTable<typeof MetricService> = {
	reportMetrics: { trials: ({ reports }) => [...new Set(reports.map(({ trialId }) => trialId))] },
	streamTrialMetrics: "all",
	streamCheckpointMetrics: "all",
	streamModelVersionMetrics: "all",
	summarizeMetrics: "all",
};

const logs: AccessTable<typeof LogService> = { writeLogs: ownTrial, streamTrialLogs: "all" };

const ofMember = {
	trials: ({ member }: { readonly member?: { readonly trialId: number } | undefined }) => [member?.trialId ?? 0],
};

const progress: AccessTable<typeof ProgressService> = {
	beginProgress: ofMember,
	commit: ofMember,
	startPart: ofMember,
	streamReducerPartials: "all",
};

const rendezvous: AccessTable<typeof RendezvousService> = {
	// The trial is that of the first message. A stream that begins with anything else is malformed.
	attend: { trials: ({ message }) => (message.case === "join" ? [message.value.trialId] : []) },
};

const tables: Readonly<Record<string, object>> = {
	[AuthService.typeName]: auth,
	[ServerService.typeName]: server,
	[ExperimentService.typeName]: experiments,
	[TrialService.typeName]: trials,
	[CheckpointService.typeName]: checkpoints,
	[ModelService.typeName]: models,
	[MetricService.typeName]: metrics,
	[LogService.typeName]: logs,
	[ProgressService.typeName]: progress,
	[RendezvousService.typeName]: rendezvous,
};

/** Returns who may call a method; a method that no table has, nobody but admins. */
export function accessTo(method: DescMethod): Access {
	const access: unknown = Reflect.get(tables[method.parent.typeName] ?? {}, method.localName);
	return (access as Access | undefined) ?? "admins";
}
