package example;

import com.google.protobuf.ByteString;
import com.google.protobuf.Struct;
import com.google.protobuf.util.Timestamps;
import com.google.protobuf.util.Values;
import io.grpc.Channel;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.Semaphore;
import millrace.v1.*;

/**
 * Reports metrics, links a model to them, follows them and reads them back, with nothing of Millrace but its protos.
 *
 * <p>Its argument is the server's HOST:PORT. It prints what it reads as lines of JSON. MILLRACE_TOKEN, if it is set, is
 * the token that lets it in.
 */
public final class Client {
	private static final int REPORTS = 1_000;
	private static final int REPORTS_PER_CALL = 250;
	private static final int REPORTS_WHILE_FOLLOWING = 5;

	private Client() {}

	/** Runs the example. */
	public static void main(String[] args) throws Exception {
		// Whatever the terminal's encoding: JSON is UTF-8.
		System.setOut(new PrintStream(System.out, true, StandardCharsets.UTF_8));
		ManagedChannel channel = Connection.open(args[0], System.getenv("MILLRACE_TOKEN"));
		MetricServiceGrpc.MetricServiceBlockingStub metrics = MetricServiceGrpc.newBlockingStub(channel);
		TrialRun run = startRun(channel);
		Reporter reporter = new Reporter(channel, run);
		for (int first = 1; first < REPORTS; first += REPORTS_PER_CALL) {
			reporter.report(first, REPORTS_PER_CALL);
		}
		ModelVersion version = linkModel(channel, run.getTrialId(), "not much of a model".getBytes(StandardCharsets.UTF_8));

		Semaphore seen = new Semaphore(0);
		Thread reporting = new Thread(() -> reportOn(channel, run, seen));
		reporting.setDaemon(true);
		reporting.start();
		StreamTrialMetricsRequest.Builder ofTrial =
				StreamTrialMetricsRequest.newBuilder().addTrialIds(run.getTrialId()).setFollow(true);
		Connection.read(
				token -> metrics.streamTrialMetrics(ofTrial.setResumeToken(token).build()),
				StreamTrialMetricsResponse::getResumeToken,
				message -> message.getReportsList().forEach(report -> {
					show("trial", report);
					if (report.getStepsCompleted() >= REPORTS) {
						seen.release();
					}
				}));

		StreamCheckpointMetricsRequest.Builder ofCheckpoint = StreamCheckpointMetricsRequest.newBuilder()
				.setCheckpointUuid(version.getCheckpoint().getUuid())
				.setGroup("inference");
		Connection.read(
				token -> metrics.streamCheckpointMetrics(ofCheckpoint.setResumeToken(token).build()),
				StreamCheckpointMetricsResponse::getResumeToken,
				message -> message.getReportsList().forEach(report -> show("checkpoint", report)));
		StreamModelVersionMetricsRequest.Builder ofVersion = StreamModelVersionMetricsRequest.newBuilder()
				.setModel(version.getModelName())
				.setVersion(version.getVersion())
				.setGroup("inference");
		Connection.read(
				token -> metrics.streamModelVersionMetrics(ofVersion.setResumeToken(token).build()),
				StreamModelVersionMetricsResponse::getResumeToken,
				message -> message.getReportsList().forEach(report -> show("model version", report)));

		try {
			TrialServiceGrpc.newBlockingStub(channel)
					.getTrial(GetTrialRequest.newBuilder().setTrialId(Integer.MAX_VALUE).build());
		} catch (StatusRuntimeException error) {
			if (error.getStatus().getCode() != Status.Code.NOT_FOUND) {
				throw error;
			}
			System.out.println(MetricsJson.write(Map.of("missing", "trial", "code", error.getStatus().getCode().name())));
		}
		channel.shutdown();
	}

	/** Creates an experiment with a trial, and starts a run of it, which has no workers of Millrace's. */
	private static TrialRun startRun(Channel channel) {
		Struct.Builder config = Struct.newBuilder()
				.putFields("name", Values.of("from Java"))
				.putFields("entrypoint", Values.of("java example.Client"));
		Experiment experiment = ExperimentServiceGrpc.newBlockingStub(channel)
				.createExperiment(
						CreateExperimentRequest.newBuilder().setRequestId(unique()).setConfig(config).build())
				.getExperiment();
		TrialServiceGrpc.TrialServiceBlockingStub trials = TrialServiceGrpc.newBlockingStub(channel);
		Trial trial = trials.createTrial(CreateTrialRequest.newBuilder()
						.setRequestId(unique())
						.setExperimentId(experiment.getId())
						.build())
				.getTrial();
		return trials.startTrialRun(StartTrialRunRequest.newBuilder()
						.setRequestId(unique())
						.setTrialId(trial.getId())
						.build())
				.getTrialRun();
	}

	/** Goes on with a run, each report after the one before has been seen, and ends it. */
	private static void reportOn(Channel channel, TrialRun run, Semaphore seen) {
		EndTrialRunRequest.Builder end = EndTrialRunRequest.newBuilder()
				.setTrialId(run.getTrialId())
				.setTrialRunId(run.getTrialRunId())
				.setState(TrialRunState.TRIAL_RUN_STATE_FAILED);
		try {
			Reporter reporter = new Reporter(channel, run);
			for (int step = REPORTS + 1; step <= REPORTS + REPORTS_WHILE_FOLLOWING; step++) {
				seen.acquireUninterruptibly();
				reporter.report(step, 1);
			}
			end.setState(TrialRunState.TRIAL_RUN_STATE_COMPLETED);
		} finally {
			TrialServiceGrpc.newBlockingStub(channel).endTrialRun(end.build());
		}
	}

	/** Stores a checkpoint through the server, registers it as a version of a model, and links the trial to both. */
	private static ModelVersion linkModel(Channel channel, int trialId, byte[] data) throws NoSuchAlgorithmException {
		CheckpointServiceGrpc.CheckpointServiceBlockingStub checkpoints = CheckpointServiceGrpc.newBlockingStub(channel);
		String uuid = checkpoints
				.createCheckpoint(
						CreateCheckpointRequest.newBuilder().setRequestId(unique()).build())
				.getCheckpoint()
				.getUuid();
		StoredFile file = StoredFile.newBuilder()
				.setPath("model.bin")
				.setSizeBytes(data.length)
				.setSha256(HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(data)))
				.build();
		checkpoints.writeCheckpointFile(WriteCheckpointFileRequest.newBuilder()
				.setCheckpointUuid(uuid)
				.setFile(file)
				.setData(ByteString.copyFrom(data))
				.build());
		checkpoints.completeCheckpoint(CompleteCheckpointRequest.newBuilder()
				.setCheckpointUuid(uuid)
				.addFiles(file)
				.build());
		ModelServiceGrpc.ModelServiceBlockingStub models = ModelServiceGrpc.newBlockingStub(channel);
		Model model = models.createModel(CreateModelRequest.newBuilder()
						.setRequestId(unique())
						.setName("from Java")
						.setExistOk(true)
						.build())
				.getModel();
		ModelVersion version = models.registerModelVersion(RegisterModelVersionRequest.newBuilder()
						.setRequestId(unique())
						.setModel(model.getName())
						.setCheckpointUuid(uuid)
						.build())
				.getModelVersion();
		TrialServiceGrpc.TrialServiceBlockingStub trials = TrialServiceGrpc.newBlockingStub(channel);
		trials.reportTrialSourceInfo(ReportTrialSourceInfoRequest.newBuilder()
				.setTrialId(trialId)
				.setCheckpointUuid(uuid)
				.build());
		trials.reportTrialSourceInfo(ReportTrialSourceInfoRequest.newBuilder()
				.setTrialId(trialId)
				.setModelVersion(ModelVersionReference.newBuilder()
						.setModel(model.getName())
						.setVersion(version.getVersion()))
				.build());
		return version;
	}

	private static void show(String source, MetricReport report) {
		Map<String, Object> line = new LinkedHashMap<>();
		line.put("source", source);
		line.put("trialId", report.getTrialId());
		line.put("trialRunId", report.getTrialRunId());
		line.put("group", report.getGroup());
		line.put("stepsCompleted", report.getStepsCompleted());
		line.put("endTime", Timestamps.toMillis(report.getEndTime()));
		line.put("metrics", MetricsJson.read(report.getMetricsJson()));
		System.out.println(MetricsJson.write(line));
	}

	private static String unique() {
		return UUID.randomUUID().toString();
	}
}
