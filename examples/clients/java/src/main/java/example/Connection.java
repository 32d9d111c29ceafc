package example;

import com.google.gson.Gson;
import io.grpc.ClientInterceptor;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.MetadataUtils;
import java.time.Duration;
import java.time.Instant;
import java.util.EnumSet;
import java.util.Iterator;
import java.util.Map;
import java.util.Set;
import java.util.function.Consumer;
import java.util.function.Function;

/** A connection to a Millrace server: it repeats calls that failed, shows a token, and lets streams go on. */
final class Connection {
	// Every write of the API may arrive twice, so that every call may be repeated while the server is away.
	private static final String RETRIES = """
			{"methodConfig": [{"name": [{}], "retryPolicy": {
				"maxAttempts": 5, "initialBackoff": "0.1s", "backoffMultiplier": 5, "maxBackoff": "10s",
				"retryableStatusCodes": ["UNAVAILABLE"]
			}}]}
			""";

	private static final int LARGEST_MESSAGE = 32 * 1024 * 1024;

	// The server is away; or it needed the memory of what was sent and not yet read.
	private static final Set<Status.Code> BROKEN = EnumSet.of(Status.Code.UNAVAILABLE, Status.Code.RESOURCE_EXHAUSTED);

	private Connection() {}

	/** Opens a channel to `host:port`. A token, if there is one, goes with every call. */
	@SuppressWarnings("unchecked")
	static ManagedChannel open(String address, String token) {
		ManagedChannelBuilder<?> builder = ManagedChannelBuilder.forTarget(address)
				.usePlaintext()
				.defaultServiceConfig(new Gson().fromJson(RETRIES, Map.class))
				.maxInboundMessageSize(LARGEST_MESSAGE);
		if (token != null && !token.isEmpty()) {
			builder.intercept(shown(token));
		}
		return builder.build();
	}

	private static ClientInterceptor shown(String token) {
		Metadata headers = new Metadata();
		headers.put(Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER), "Bearer " + token);
		return MetadataUtils.newAttachHeadersInterceptor(headers);
	}

	/**
	 * Gives each message of the stream that `open` starts to `use`. One that breaks goes on, without gap or double, by
	 * the resume token of the last message, for up to a minute.
	 */
	static <M> void read(Function<String, Iterator<M>> open, Function<M, String> resumeToken, Consumer<M> use)
			throws InterruptedException {
		String token = "";
		Instant brokenAt = null;
		while (true) {
			try {
				for (Iterator<M> messages = open.apply(token); messages.hasNext(); ) {
					M message = messages.next();
					use.accept(message);
					token = resumeToken.apply(message);
					brokenAt = null;
				}
				return;
			} catch (StatusRuntimeException error) {
				brokenAt = brokenAt == null ? Instant.now() : brokenAt;
				boolean isLate = brokenAt.plus(Duration.ofMinutes(1)).isBefore(Instant.now());
				if (!BROKEN.contains(error.getStatus().getCode()) || isLate) {
					throw error;
				}
				Thread.sleep(500);
			}
		}
	}
}
