"""A connection to a Millrace server: it repeats calls that failed, shows a token, and lets streams go on."""

import collections
import json
import time

import grpc

# Every write of the API may arrive twice, so that every call may be repeated while the server is away.
_RETRIES = {
    "methodConfig": [
        {
            "name": [{}],
            "retryPolicy": {
                "maxAttempts": 5,
                "initialBackoff": "0.1s",
                "backoffMultiplier": 5,
                "maxBackoff": "10s",
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ]
}
_LARGEST_MESSAGE = 32 * 1024 * 1024

# The server is away; or it needed the memory of what was sent and not yet read.
_BROKEN = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED)


def connect(address, token=""):
    """Opens a channel to `host:port`. A token, if there is one, goes with every call."""
    options = [
        ("grpc.service_config", json.dumps(_RETRIES)),
        ("grpc.max_receive_message_length", _LARGEST_MESSAGE),
    ]
    channel = grpc.insecure_channel(address, options)
    return grpc.intercept_channel(channel, _Token(token)) if token else channel


def reports(method, request):
    """Yields the reports of a stream of metrics. One that breaks goes on, without gap or double, for up to a minute."""
    broken_at = None
    while True:
        try:
            for message in method(request):
                yield from message.reports
                request.resume_token = message.resume_token
                broken_at = None
            return
        except grpc.RpcError as error:
            broken_at = broken_at or time.monotonic()
            if error.code() not in _BROKEN or time.monotonic() > broken_at + 60:
                raise
            time.sleep(0.5)


class _Token(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):
    def __init__(self, token):
        self._header = ("authorization", f"Bearer {token}")

    def intercept_unary_unary(self, continuation, details, request):
        return continuation(self._shown(details), request)

    def intercept_unary_stream(self, continuation, details, request):
        return continuation(self._shown(details), request)

    def _shown(self, details):
        metadata = [*(details.metadata or ()), self._header]
        return _Details(details.method, details.timeout, metadata, details.credentials, details.wait_for_ready)


class _Details(
    collections.namedtuple("_Details", "method timeout metadata credentials wait_for_ready"), grpc.ClientCallDetails
):
    pass
