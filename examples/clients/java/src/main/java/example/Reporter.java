package example;

import io.grpc.Channel;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import millrace.v1.MetricServiceGrpc;
import millrace.v1.MetricServiceGrpc.MetricServiceBlockingStub;
import millrace.v1.NewMetricReport;
import millrace.v1.ReportMetricsRequest;
import millrace.v1.ReportStatus;
import millrace.v1.TrialRun;

/** Reports metrics. Its calls are numbered, one after the other, so that one that is repeated counts once. */
final class Reporter {
	private final MetricServiceBlockingStub metrics;
	private final TrialRun run;
	private final String clientId = UUID.randomUUID().toString();
	private long sequence = 0;

	Reporter(Channel channel, TrialRun run) {
		this.metrics = MetricServiceGrpc.newBlockingStub(channel);
		this.run = run;
	}

	/** Reports the metrics of some steps, in one call. */
	void report(int first, int count) {
		sequence++;
		ReportMetricsRequest.Builder request =
				ReportMetricsRequest.newBuilder().setClientId(clientId).setSequence(sequence);
		for (int step = first; step < first + count; step++) {
			request.addReports(NewMetricReport.newBuilder()
					.setTrialId(run.getTrialId())
					.setTrialRunId(run.getTrialRunId())
					.setGroup("inference")
					.setStepsCompleted(step)
					.setMetricsJson(MetricsJson.write(metricsOf(step))));
		}
		for (ReportStatus status : metrics.reportMetrics(request.build()).getStatusesList()) {
			if (status.getCode() != 0) {
				throw new IllegalStateException("a report was refused: " + status.getMessage());
			}
		}
	}

	private static Map<String, Object> metricsOf(int step) {
		Map<String, Object> nested = new HashMap<>();
		nested.put("名前", "step " + step + " 🧮");
		nested.put("is even", step % 2 == 0);
		nested.put("nothing", null);
		nested.put("deep", List.of(List.of(step), Map.of()));
		List<Double> extreme = Arrays.asList(
				Double.NaN, Double.POSITIVE_INFINITY, Double.NEGATIVE_INFINITY, -0.0, Double.MIN_VALUE, Double.MAX_VALUE);
		return Map.of("loss", 1.0 / step, "extreme", extreme, "größe", nested);
	}
}
