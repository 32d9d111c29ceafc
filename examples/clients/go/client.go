// Reports metrics, links a model to them, follows them and reads them back, with nothing of Millrace but its protos.
//
//	./client HOST:PORT
//
// It prints what it reads as lines of JSON. MILLRACE_TOKEN, if it is set, is the token that lets it in.
package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"log"
	"math"
	"os"

	pb "example.org/millrace-client/millrace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/structpb"
)

const (
	reportCount         = 1_000
	reportsPerCall      = 250
	reportsWhileFollows = 5
)

func main() {
	ctx := context.Background()
	conn := must(connect(os.Args[1], os.Getenv("MILLRACE_TOKEN")))
	defer conn.Close()
	metrics := pb.NewMetricServiceClient(conn)
	run := startRun(ctx, conn)
	reporter := newReporter(conn, run)
	for first := int32(1); first < reportCount; first += reportsPerCall {
		check(reporter.report(ctx, first, reportsPerCall))
	}
	version := linkModel(ctx, conn, run.TrialId, []byte("not much of a model"))

	seen := make(chan struct{}, reportsWhileFollows+1)
	go reportOn(ctx, conn, run, seen)
	check(readReports(func(resumeToken string) (grpc.ServerStreamingClient[pb.StreamTrialMetricsResponse], error) {
		return metrics.StreamTrialMetrics(ctx, &pb.StreamTrialMetricsRequest{
			TrialIds: []int32{run.TrialId}, Follow: true, ResumeToken: resumeToken,
		})
	}, func(report *pb.MetricReport) {
		show("trial", report)
		if report.GetStepsCompleted() >= reportCount {
			seen <- struct{}{}
		}
	}))

	check(readReports(func(resumeToken string) (grpc.ServerStreamingClient[pb.StreamCheckpointMetricsResponse], error) {
		return metrics.StreamCheckpointMetrics(ctx, &pb.StreamCheckpointMetricsRequest{
			CheckpointUuid: version.Checkpoint.Uuid, Group: "inference", ResumeToken: resumeToken,
		})
	}, func(report *pb.MetricReport) { show("checkpoint", report) }))
	check(readReports(func(resumeToken string) (grpc.ServerStreamingClient[pb.StreamModelVersionMetricsResponse], error) {
		return metrics.StreamModelVersionMetrics(ctx, &pb.StreamModelVersionMetricsRequest{
			Model: version.ModelName, Version: version.Version, Group: "inference", ResumeToken: resumeToken,
		})
	}, func(report *pb.MetricReport) { show("model version", report) }))

	_, err := pb.NewTrialServiceClient(conn).GetTrial(ctx, &pb.GetTrialRequest{TrialId: math.MaxInt32})
	if status.Code(err) != codes.NotFound {
		log.Fatalf("a trial that is not there was found, or: %v", err)
	}
	fmt.Println(must(toJSON(map[string]any{"missing": "trial", "code": "NOT_FOUND"})))
}

// startRun creates an experiment with a trial, and starts a run of it, which has no workers of Millrace's.
func startRun(ctx context.Context, conn *grpc.ClientConn) *pb.TrialRun {
	experiment := must(pb.NewExperimentServiceClient(conn).CreateExperiment(ctx, &pb.CreateExperimentRequest{
		RequestId: rand.Text(),
		Config:    must(structpb.NewStruct(map[string]any{"name": "from Go", "entrypoint": "./client"})),
	})).Experiment
	trials := pb.NewTrialServiceClient(conn)
	trial := must(trials.CreateTrial(ctx, &pb.CreateTrialRequest{
		RequestId: rand.Text(), ExperimentId: experiment.Id,
	})).Trial
	return must(trials.StartTrialRun(ctx, &pb.StartTrialRunRequest{
		RequestId: rand.Text(), TrialId: trial.Id,
	})).TrialRun
}

// reportOn goes on with a run, each report after the one before has been seen, and ends it.
func reportOn(ctx context.Context, conn *grpc.ClientConn, run *pb.TrialRun, seen <-chan struct{}) {
	reporter := newReporter(conn, run)
	for step := int32(reportCount + 1); step <= reportCount+reportsWhileFollows; step++ {
		<-seen
		check(reporter.report(ctx, step, 1))
	}
	must(pb.NewTrialServiceClient(conn).EndTrialRun(ctx, &pb.EndTrialRunRequest{
		TrialId: run.TrialId, TrialRunId: run.TrialRunId, State: pb.TrialRunState_TRIAL_RUN_STATE_COMPLETED,
	}))
}

// linkModel stores a checkpoint through the server, registers it as a version of a model, and links the trial to both.
func linkModel(ctx context.Context, conn *grpc.ClientConn, trialID int32, data []byte) *pb.ModelVersion {
	checkpoints := pb.NewCheckpointServiceClient(conn)
	uuid := must(checkpoints.CreateCheckpoint(ctx, &pb.CreateCheckpointRequest{RequestId: rand.Text()})).Checkpoint.Uuid
	file := &pb.StoredFile{
		Path: "model.bin", SizeBytes: int64(len(data)), Sha256: fmt.Sprintf("%x", sha256.Sum256(data)),
	}
	must(checkpoints.WriteCheckpointFile(ctx, &pb.WriteCheckpointFileRequest{
		CheckpointUuid: uuid, File: file, Data: data,
	}))
	must(checkpoints.CompleteCheckpoint(ctx, &pb.CompleteCheckpointRequest{
		CheckpointUuid: uuid, Files: []*pb.StoredFile{file},
	}))
	models := pb.NewModelServiceClient(conn)
	model := must(models.CreateModel(ctx, &pb.CreateModelRequest{
		RequestId: rand.Text(), Name: "from Go", ExistOk: true,
	})).Model
	version := must(models.RegisterModelVersion(ctx, &pb.RegisterModelVersionRequest{
		RequestId: rand.Text(), Model: model.Name, CheckpointUuid: uuid,
	})).ModelVersion
	trials := pb.NewTrialServiceClient(conn)
	must(trials.ReportTrialSourceInfo(ctx, &pb.ReportTrialSourceInfoRequest{
		TrialId: trialID, Source: &pb.ReportTrialSourceInfoRequest_CheckpointUuid{CheckpointUuid: uuid},
	}))
	reference := &pb.ModelVersionReference{Model: model.Name, Version: version.Version}
	must(trials.ReportTrialSourceInfo(ctx, &pb.ReportTrialSourceInfoRequest{
		TrialId: trialID, Source: &pb.ReportTrialSourceInfoRequest_ModelVersion{ModelVersion: reference},
	}))
	return version
}

func show(source string, report *pb.MetricReport) {
	fmt.Println(must(toJSON(map[string]any{
		"source":         source,
		"trialId":        report.TrialId,
		"trialRunId":     report.TrialRunId,
		"group":          report.Group,
		"stepsCompleted": report.GetStepsCompleted(),
		"endTime":        report.EndTime.AsTime().UnixMilli(),
		"metrics":        must(fromJSON(report.MetricsJson)),
	})))
}

// must returns what a call returned; its error ends the program.
func must[T any](value T, err error) T {
	check(err)
	return value
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
