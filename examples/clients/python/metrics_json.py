"""Metrics as Millrace's JSON text, in which the numbers that JSON lacks are the strings "NaN", "Infinity", "-Infinity"."""

import json
import math

_NUMBERS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def to_json(metrics):
    """Writes metrics: dicts, lists, strings, numbers, booleans and None."""
    return json.dumps(_spelled(metrics), ensure_ascii=False, allow_nan=False)


def from_json(text):
    """Reads metrics."""
    return _numbers(json.loads(text))


def _spelled(value):
    if isinstance(value, dict):
        return {key: _spelled(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_spelled(item) for item in value]
    if isinstance(value, float) and math.isnan(value):
        return "NaN"
    if isinstance(value, float) and math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value


def _numbers(value):
    if isinstance(value, dict):
        return {key: _numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_numbers(item) for item in value]
    return _NUMBERS.get(value, value) if isinstance(value, str) else value
