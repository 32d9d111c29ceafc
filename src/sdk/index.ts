/**
 * The SDK: models, checkpoints, experiments, trials and their metrics, on the server that `client` finds or starts.
 *
 * @module millrace
 */

export { type ErrorCode, isMillraceError, MillraceError } from "../errors.js";
export type { AsyncList } from "./async-list.js";
export type { AuditEntry, ListAuditLogOptions } from "./audit-log.js";
export {
	Checkpoint,
	type CheckpointSortBy,
	type CheckpointState,
	type CheckpointTraining,
	type DownloadOptions,
	type ListCheckpointsOptions,
} from "./checkpoint.js";
export { Client, type ClientOptions, type CreateModelOptions, type CreateTrialOptions, client } from "./client.js";
export type { TransferMode } from "./download-files.js";
export type { OrderBy } from "./enum-option.js";
export { Experiment, type ExperimentState } from "./experiment.js";
export type { ExperimentSortBy, ListExperimentsOptions } from "./experiment-list.js";
export type { JsonObject, JsonValue } from "./json.js";
export type { LogLevelName } from "./log-level.js";
export type { LoginOptions } from "./login.js";
export type { MetricSummary, MetricsSummary, SummarizeMetricsOptions } from "./metric-summary.js";
export { type ListVersionsOptions, Model, type RegisterVersionOptions } from "./model.js";
export type { ListModelsOptions, ModelSortBy } from "./model-list.js";
export { ModelVersion } from "./model-version.js";
export type { MethodsOf, Pending } from "./pending.js";
export type { ReportMetricsOptions } from "./report-metrics-options.js";
export type { TlsOptions } from "./tls-options.js";
export type { CreatedToken, CreateTokenOptions, ListTokensOptions, Token, WorkerTokenOptions } from "./token.js";
export { Trial, type TrialState } from "./trial.js";
export type {
	TrialActivity,
	TrialRun,
	TrialRunState,
	WatchOptions,
	WorkerActivity,
	WorkerWait,
} from "./trial-activity.js";
export type { TrialError } from "./trial-errors.js";
export type { ExperimentTrialsOptions, ListTrialsOptions, TrialSortBy } from "./trial-list.js";
export type { TrialLog, TrialLogOptions } from "./trial-logs.js";
export type { TrialMetrics, TrialMetricsOptions } from "./trial-metrics.js";
export type { TrialOutput } from "./trial-outputs.js";
export type { LinkedCheckpoint, LinkedVersion } from "./trial-source.js";
export type { UploadCheckpointOptions } from "./upload-checkpoint.js";
export { type ChangePasswordOptions, type CreateUserOptions, type ListUsersOptions, User } from "./user.js";
export type { WaitOptions } from "./wait-for-experiment.js";
