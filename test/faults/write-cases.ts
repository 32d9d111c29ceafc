import { randomUUID } from "node:crypto";
import { CheckpointService } from "../../src/gen/millrace/v1/checkpoint_service_pb.js";
import { ExperimentService } from "../../src/gen/millrace/v1/experiment_service_pb.js";
import { MetricService } from "../../src/gen/millrace/v1/metric_service_pb.js";
import { ModelService } from "../../src/gen/millrace/v1/model_service_pb.js";
import { ProgressService } from "../../src/gen/millrace/v1/progress_service_pb.js";
import { TrialRunState } from "../../src/gen/millrace/v1/trial_pb.js";
import { TrialService } from "../../src/gen/millrace/v1/trial_service_pb.js";
import type { Connection } from "../../src/sdk/connection.js";
import { joinRun, startTrial, type TestWorker } from "../server/start-trial.js";
import type { TestServer } from "../support/start-test-server.js";

	...modelWriteCases,
