"""Greets an account, with configuration that the sidecar keeps fresh.

No SDK and no cache in here: each invocation asks, and gets nothing older than its max age.
"""

import http.client
import json
import os
from urllib.parse import quote

# Kept open from one invocation to the next.
declared = http.client.HTTPConnection(
    "localhost", int(os.environ.get("LAMBDA_CACHE_PORT", 4000)), timeout=5
)
named = http.client.HTTPConnection(
    "localhost", int(os.environ.get("PARAMETERS_SECRETS_EXTENSION_HTTP_PORT", 2773)), timeout=5
)


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
        response = ask(connection, path, headers)
    except ConnectionError:
        # It was closed while it was idle; the next request opens it anew.
        connection.close()
        response = ask(connection, path, headers)
    body = response.read().decode()
    if response.status != 200 or body == "No data found":
        reason = response.getheader("x-lambda-cache-error", body)
        raise RuntimeError(f"{path}: {response.status}: {reason}")
    return body


def ask(connection, path, headers):
    connection.request("GET", path, headers=headers or {})
    return connection.getresponse()
