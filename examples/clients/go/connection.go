package main

import (
	"context"
	"errors"
	"io"
	"time"

	pb "example.org/millrace-client/millrace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

// Every write of the API may arrive twice, so that every call may be repeated while the server is away.
const retries = `{"methodConfig": [{"name": [{}], "retryPolicy": {
	"maxAttempts": 5, "initialBackoff": "0.1s", "backoffMultiplier": 5, "maxBackoff": "10s",
	"retryableStatusCodes": ["UNAVAILABLE"]
}}]}`

const largestMessage = 32 * 1024 * 1024

// connect opens a connection to host:port. A token, if there is one, goes with every call.
func connect(address, secret string) (*grpc.ClientConn, error) {
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(retries),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(largestMessage)),
	}
	if secret != "" {
		options = append(options, grpc.WithPerRPCCredentials(token(secret)))
	}
	return grpc.NewClient(address, options...)
}

type token string

func (t token) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(t)}, nil
}

func (t token) RequireTransportSecurity() bool { return false }

// batch is a message of any of the streams of metrics.
type batch[T any] interface {
	*T
	GetReports() []*pb.MetricReport
	GetResumeToken() string
}

// readReports gives each report of the stream that open starts to use. A stream that breaks goes on, without gap or
// double, for up to a minute.
func readReports[T any, B batch[T]](
	open func(resumeToken string) (grpc.ServerStreamingClient[T], error),
	use func(*pb.MetricReport),
) error {
	resumeToken := ""
	var brokenAt time.Time
	for {
		stream, err := open(resumeToken)
		for err == nil {
			var message B
			if message, err = stream.Recv(); err != nil {
				break
			}
			for _, report := range message.GetReports() {
				use(report)
			}
			resumeToken, brokenAt = message.GetResumeToken(), time.Time{}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if brokenAt.IsZero() {
			brokenAt = time.Now()
		}
		if !isBroken(err) || time.Since(brokenAt) > time.Minute {
			return err
		}
		time.Sleep(500 * time.Millisecond)
	}
}

// isBroken tells whether the server is away, or needed the memory of what was sent and not yet read.
func isBroken(err error) bool {
	code := status.Code(err)
	return code == codes.Unavailable || code == codes.ResourceExhausted
}
