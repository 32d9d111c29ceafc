package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"math"

	pb "example.org/millrace-client/millrace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// reporter reports metrics. Its calls are numbered, one after the other, so that one that is repeated counts once.
type reporter struct {
	metrics  pb.MetricServiceClient
	run      *pb.TrialRun
	clientID string
	sequence int64
}

func newReporter(conn *grpc.ClientConn, run *pb.TrialRun) *reporter {
	return &reporter{metrics: pb.NewMetricServiceClient(conn), run: run, clientID: rand.Text()}
}

// report sends the metrics of some steps, in one call.
func (r *reporter) report(ctx context.Context, first, count int32) error {
	var reports []*pb.NewMetricReport
	for step := first; step < first+count; step++ {
		text, err := toJSON(metricsOf(step))
		if err != nil {
			return err
		}
		reports = append(reports, &pb.NewMetricReport{
			TrialId: r.run.TrialId, TrialRunId: r.run.TrialRunId, Group: "inference",
			StepsCompleted: proto.Int32(step), MetricsJson: text,
		})
	}
	r.sequence++
	answer, err := r.metrics.ReportMetrics(ctx, &pb.ReportMetricsRequest{
		ClientId: r.clientID, Sequence: r.sequence, Reports: reports,
	})
	if err != nil {
		return err
	}
	for _, status := range answer.Statuses {
		if status.Code != 0 {
			return fmt.Errorf("a report was refused: %s", status.Message)
		}
	}
	return nil
}

func metricsOf(step int32) map[string]any {
	return map[string]any{
		"loss": 1 / float64(step),
		"extreme": []any{
			math.NaN(), math.Inf(1), math.Inf(-1), math.Copysign(0, -1), math.SmallestNonzeroFloat64, math.MaxFloat64,
		},
		"größe": map[string]any{
			"名前":      fmt.Sprintf("step %d 🧮", step),
			"is even": step%2 == 0,
			"nothing": nil,
			"deep":    []any{[]any{step}, map[string]any{}},
		},
	}
}
