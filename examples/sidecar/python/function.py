"""Greets an account, with configuration that the sidecar keeps fresh.

The function needs no SDK and no cache: each invocation asks the sidecar, and gets no value older than
its max age.
"""

import http.client
import json
import os
from urllib.parse import quote


def connect(variable, port):
    """A connection that opens at its first request, and stays open between invocations."""
    # Longer than the five seconds after which the sidecar answers with an error.
    return http.client.HTTPConnection("localhost", int(os.environ.get(variable, port)), timeout=6)


declared = connect("LAMBDA_CACHE_PORT", 4000)
named = connect("PARAMETERS_SECRETS_EXTENSION_HTTP_PORT", 2773)


def handler(event, context):
    account = json.loads(get(declared, "/dynamodb?name=account"))
    # Reads by name, which config.yaml does not declare, need the token.
    token = {"X-Aws-Parameters-Secrets-Token": os.environ["AWS_SESSION_TOKEN"]}
    secret = json.loads(get(named, f"/secretsmanager/get?secretId={quote('/prod/key', safe='')}", token))
    return {
        "greeting": get(declared, f"/parameters?name={quote('/app/greeting', safe='')}"),
        "account": account,
        # The version shows that the secret was read, without returning it.
        "key_version": secret["VersionId"],
    }


def get(connection, path, headers=None):
    """The value that the sidecar serves at a path. Raises an error if there is none."""
    try:
        response, body = ask(connection, path, headers)
    except ConnectionError:
        # The connection was closed while it was idle.
        response, body = ask(connection, path, headers)
    if response.status != 200 or body == "No data found":
        reason = response.getheader("x-lambda-cache-error", body)
        raise RuntimeError(f"{path}: {response.status}: {reason}")
    return body


def ask(connection, path, headers):
    try:
        connection.request("GET", path, headers=headers or {})
        response = connection.getresponse()
        return response, response.read().decode()
    except Exception:
        # Part of the answer may still arrive, so the next request needs a new connection.
        connection.close()
        raise
