"""Calls any method of a Millrace server, with no protos: the server describes itself by gRPC's reflection.

    python call.py HOST:PORT millrace.v1.TrialService/GetTrial '{"trialId": 1}'

It prints the answer as JSON, or each message of a stream on a line. MILLRACE_TOKEN, if it is set, is the token that
lets it in. An error is told by its code, and the exit code is 1.
"""

import os
import sys

import grpc
from google.protobuf import json_format
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from connection import connect


def main(address, path, request_json):
    channel = connect(address, os.environ.get("MILLRACE_TOKEN", ""))
    # Reflection is open to all, and its stream in both directions is not one that `connect` shows the token on.
    pool = DescriptorPool(ProtoReflectionDescriptorDatabase(grpc.insecure_channel(address)))
    service, name = path.split("/")
    method = pool.FindServiceByName(service).FindMethodByName(name)
    Request = GetMessageClass(method.input_type)
    Answer = GetMessageClass(method.output_type)
    open_call = channel.unary_stream if method.server_streaming else channel.unary_unary
    call = open_call(f"/{path}", Request.SerializeToString, Answer.FromString)
    answer = call(json_format.Parse(request_json, Request()))
    for message in answer if method.server_streaming else [answer]:
        print(json_format.MessageToJson(message, indent=None), flush=True)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except grpc.RpcError as error:
        sys.exit(f"{error.code().name}: {error.details()}")
