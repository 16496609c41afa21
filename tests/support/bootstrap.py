#!/usr/bin/env python3
"""A runtime for tests: runs `handler` of the file FUNCTION_FILE for each invocation."""

import http.client
import importlib.util
import json
import os
import traceback

INVOCATION = "/2018-06-01/runtime/invocation"

spec = importlib.util.spec_from_file_location("function", os.environ["FUNCTION_FILE"])
function = importlib.util.module_from_spec(spec)
spec.loader.exec_module(function)
runtime = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])


def call(method, path, body=None):
    runtime.request(method, INVOCATION + path, body)
    response = runtime.getresponse()
    return response.getheader("Lambda-Runtime-Aws-Request-Id"), response.read()


while True:
    request_id, event = call("GET", "/next")
    try:
        answer = json.dumps(function.handler(json.loads(event), None))
        call("POST", f"/{request_id}/response", answer)
    except Exception as error:
        traceback.print_exc()
        report = {"errorType": type(error).__name__, "errorMessage": str(error)}
        call("POST", f"/{request_id}/error", json.dumps(report))
