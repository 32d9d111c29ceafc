package example;

import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.UnaryOperator;

/**
 * Metrics as Millrace's JSON text, in which the numbers that JSON lacks are the strings "NaN", "Infinity" and
 * "-Infinity".
 */
final class MetricsJson {
	private static final Gson GSON = new GsonBuilder().serializeNulls().disableHtmlEscaping().create();

	private MetricsJson() {}

	/** Writes metrics: maps, lists, strings, numbers, booleans and null. */
	static String write(Object metrics) {
		return GSON.toJson(changed(metrics, MetricsJson::spelled));
	}

	/** Reads metrics; numbers are doubles. */
	static Object read(String text) {
		return changed(GSON.fromJson(text, Object.class), MetricsJson::number);
	}

	private static Object spelled(Object value) {
		return value instanceof Double number && !Double.isFinite(number) ? number.toString() : value;
	}

	private static Object number(Object value) {
		return "NaN".equals(value) || "Infinity".equals(value) || "-Infinity".equals(value)
				? (Object) Double.valueOf((String) value)
				: value;
	}

	private static Object changed(Object value, UnaryOperator<Object> change) {
		if (value instanceof Map<?, ?> object) {
			Map<Object, Object> copy = new LinkedHashMap<>();
			object.forEach((key, item) -> copy.put(key, changed(item, change)));
			return copy;
		}
		if (value instanceof List<?> array) {
			List<Object> copy = new ArrayList<>();
			array.forEach(item -> copy.add(changed(item, change)));
			return copy;
		}
		return change.apply(value);
	}
}
