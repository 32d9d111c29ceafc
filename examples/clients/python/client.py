"""Reports metrics, links a model to them, follows them and reads them back, with nothing of Millrace but its protos.

    python client.py HOST:PORT

It prints what it reads as lines of JSON. MILLRACE_TOKEN, if it is set, is the token that lets it in.
"""

import hashlib
import math
import os
import sys
import threading
import uuid

import grpc
from millrace.v1 import checkpoint_service_pb2 as checkpoint_service
from millrace.v1 import experiment_service_pb2 as experiment_service
from millrace.v1 import model_pb2, storage_pb2, trial_pb2
from millrace.v1 import metric_service_pb2 as metric_service
from millrace.v1 import model_service_pb2 as model_service
from millrace.v1 import trial_service_pb2 as trial_service
from millrace.v1.checkpoint_service_pb2_grpc import CheckpointServiceStub
from millrace.v1.experiment_service_pb2_grpc import ExperimentServiceStub
from millrace.v1.metric_service_pb2_grpc import MetricServiceStub
from millrace.v1.model_service_pb2_grpc import ModelServiceStub
from millrace.v1.trial_service_pb2_grpc import TrialServiceStub

from connection import connect, reports
from metrics_json import from_json, to_json

REPORTS = 1_000
REPORTS_WHILE_FOLLOWING = 5


def main(address):
    channel = connect(address, os.environ.get("MILLRACE_TOKEN", ""))
    metrics = MetricServiceStub(channel)
    run = start_run(channel)
    reporter = Reporter(metrics, run)
    for first in range(1, REPORTS, 250):
        reporter.report(range(first, first + 250))
    version = link_model(channel, run.trial_id, b"not much of a model")

    request = metric_service.StreamTrialMetricsRequest(trial_ids=[run.trial_id], follow=True)
    seen = threading.Semaphore(0)
    threading.Thread(target=report_on, args=(channel, run, seen), daemon=True).start()
    for report in reports(metrics.StreamTrialMetrics, request):
        show("trial", report)
        if report.steps_completed >= REPORTS:
            seen.release()

    request = metric_service.StreamCheckpointMetricsRequest(checkpoint_uuid=version.checkpoint.uuid, group="inference")
    for report in reports(metrics.StreamCheckpointMetrics, request):
        show("checkpoint", report)
    request = metric_service.StreamModelVersionMetricsRequest(
        model=version.model_name, version=version.version, group="inference"
    )
    for report in reports(metrics.StreamModelVersionMetrics, request):
        show("model version", report)

    try:
        TrialServiceStub(channel).GetTrial(trial_service.GetTrialRequest(trial_id=2**31 - 1))
    except grpc.RpcError as error:
        if error.code() != grpc.StatusCode.NOT_FOUND:
            raise
        print(to_json({"missing": "trial", "code": error.code().name}))


def start_run(channel):
    """Creates an experiment with a trial, and starts a run of it, which has no workers of Millrace's."""
    request = experiment_service.CreateExperimentRequest(request_id=str(uuid.uuid4()))
    request.config.update({"name": "from Python", "entrypoint": "python client.py"})
    experiment = ExperimentServiceStub(channel).CreateExperiment(request).experiment
    trials = TrialServiceStub(channel)
    request = trial_service.CreateTrialRequest(request_id=str(uuid.uuid4()), experiment_id=experiment.id)
    trial = trials.CreateTrial(request).trial
    request = trial_service.StartTrialRunRequest(request_id=str(uuid.uuid4()), trial_id=trial.id)
    return trials.StartTrialRun(request).trial_run


class Reporter:
    """Reports metrics. Its calls are numbered, one after the other, so that one that is repeated counts once."""

    def __init__(self, metrics, run):
        self._metrics = metrics
        self._run = run
        self._client_id = str(uuid.uuid4())
        self._sequence = 0

    def report(self, steps):
        self._sequence += 1
        request = metric_service.ReportMetricsRequest(client_id=self._client_id, sequence=self._sequence)
        for step in steps:
            request.reports.add(
                trial_id=self._run.trial_id,
                trial_run_id=self._run.trial_run_id,
                group="inference",
                steps_completed=step,
                metrics_json=to_json(metrics_of(step)),
            )
        for status in self._metrics.ReportMetrics(request).statuses:
            if status.code != 0:
                raise RuntimeError(f"a report was refused: {status.message}")


def metrics_of(step):
    return {
        "loss": 1 / step,
        "extreme": [math.nan, math.inf, -math.inf, -0.0, 5e-324, 1.7976931348623157e308],
        "größe": {"名前": f"step {step} 🧮", "is even": step % 2 == 0, "nothing": None, "deep": [[step], {}]},
    }


def report_on(channel, run, seen):
    """Goes on with a run, each report after the one before has been seen, and ends it."""
    state = trial_pb2.TRIAL_RUN_STATE_FAILED
    try:
        reporter = Reporter(MetricServiceStub(channel), run)
        for step in range(REPORTS + 1, REPORTS + REPORTS_WHILE_FOLLOWING + 1):
            seen.acquire()
            reporter.report([step])
        state = trial_pb2.TRIAL_RUN_STATE_COMPLETED
    finally:
        TrialServiceStub(channel).EndTrialRun(
            trial_service.EndTrialRunRequest(trial_id=run.trial_id, trial_run_id=run.trial_run_id, state=state)
        )


def link_model(channel, trial_id, data):
    """Stores a checkpoint through the server, registers it as a version of a model, and links the trial to both."""
    checkpoints = CheckpointServiceStub(channel)
    request = checkpoint_service.CreateCheckpointRequest(request_id=str(uuid.uuid4()))
    checkpoint = checkpoints.CreateCheckpoint(request).checkpoint
    file = storage_pb2.StoredFile(path="model.bin", size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    checkpoints.WriteCheckpointFile(
        checkpoint_service.WriteCheckpointFileRequest(checkpoint_uuid=checkpoint.uuid, file=file, data=data)
    )
    checkpoints.CompleteCheckpoint(
        checkpoint_service.CompleteCheckpointRequest(checkpoint_uuid=checkpoint.uuid, files=[file])
    )
    models = ModelServiceStub(channel)
    request = model_service.CreateModelRequest(request_id=str(uuid.uuid4()), name="from Python", exist_ok=True)
    model = models.CreateModel(request).model
    version = models.RegisterModelVersion(
        model_service.RegisterModelVersionRequest(
            request_id=str(uuid.uuid4()), model=model.name, checkpoint_uuid=checkpoint.uuid
        )
    ).model_version
    trials = TrialServiceStub(channel)
    trials.ReportTrialSourceInfo(
        trial_service.ReportTrialSourceInfoRequest(trial_id=trial_id, checkpoint_uuid=checkpoint.uuid)
    )
    reference = model_pb2.ModelVersionReference(model=model.name, version=version.version)
    trials.ReportTrialSourceInfo(
        trial_service.ReportTrialSourceInfoRequest(trial_id=trial_id, model_version=reference)
    )
    return version


def show(source, report):
    line = {
        "source": source,
        "trialId": report.trial_id,
        "trialRunId": report.trial_run_id,
        "group": report.group,
        "stepsCompleted": report.steps_completed,
        "endTime": report.end_time.ToMilliseconds(),
        "metrics": from_json(report.metrics_json),
    }
    print(to_json(line), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
