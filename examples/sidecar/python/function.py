"""Greets an account, with configuration that the sidecar keeps fresh.

No SDK and no cache in here: each invocation asks, and gets nothing older than its max age.
"""

import http.client
import json
import os
from urllib.parse import quote


def connect(variable, port):
    """A connection that opens at its first request, and is kept from one invocation to the next."""
    # The sidecar gives a source five seconds, and then says what was wrong with it.
    return http.client.HTTPConnection("localhost", int(os.environ.get(variable, port)), timeout=6)


declared = connect("LAMBDA_CACHE_PORT", 4000)
named = connect("PARAMETERS_SECRETS_EXTENSION_HTTP_PORT", 2773)


def handler(event, context):
    account = json.loads(get(declared, "/dynamodb?name=account"))
    # For who may read what is named by the code and not by config.yaml.
    token = {"X-Aws-Parameters-Secrets-Token": os.environ["AWS_SESSION_TOKEN"]}
    secret = json.loads(get(named, f"/secretsmanager/get?secretId={quote('/prod/key', safe='')}", token))
    return {
        "greeting": get(declared, f"/parameters?name={quote('/app/greeting', safe='')}"),
        "account": account,
        # A version, to show that it was read. The secret itself stays in here.
        "key_version": secret["VersionId"],
    }


def get(connection, path, headers=None):
    """What the sidecar has for a path; an error if it has nothing."""
    try:
        response, body = ask(connection, path, headers)
    except ConnectionError:
        # It was closed while it was idle.
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
        # Part of an answer may still be on its way, so the next request opens it anew.
        connection.close()
        raise
