"""Reads from both ports of the sidecar, several at a time, and reports what it read."""

import concurrent.futures
import http.client
import os
import random
import re
import time
import urllib.parse

DECLARED = int(os.environ["LAMBDA_CACHE_PORT"])
ON_DEMAND = int(os.environ["PARAMETERS_SECRETS_EXTENSION_HTTP_PORT"])
TOKEN = {"X-Aws-Parameters-Secrets-Token": os.environ["AWS_SESSION_TOKEN"]}
STALE_MS = 2000

# The path, the name, the thing, and its max age in milliseconds.
ENTRIES = [
    ("/parameters", "/chaos/greeting", "/chaos/greeting", 1000),
    ("/parameters", "/chaos/hosts", "/chaos/hosts", 1000),
    ("/parameters", "/chaos/limits", "/chaos/limits", 0),
    ("/dynamodb", "account", "account", 2000),
    ("/secrets", "chaos/database", "chaos/database", 2000),
    ("/objects", "s3://chaos-bucket/settings.json", "settings.json", 1000),
]
PARAMETERS = ["/chaos/limits", "/chaos/rates"] + [f"/memo/{letter}" for letter in "abcdefghijkl"]
SECRETS = ["chaos/key", "chaos/database"]


def ask(port, path, query, what, thing, max_age):
    began = time.time_ns()
    connection = http.client.HTTPConnection("localhost", port, timeout=50)
    connection.request("GET", f"{path}?{urllib.parse.urlencode(query)}", headers=TOKEN)
    response = connection.getresponse()
    body = response.read().decode()
    ended = time.time_ns()
    connection.close()
    if response.status == 200:
        got = {"Ok": version(body)}
        if response.getheader("x-lambda-cache-stale"):
            max_age += STALE_MS
            what += ", stale"
    else:
        reason = response.getheader("x-lambda-cache-error") or body
        throttled = response.status == 503 or "hrottl" in reason or "SlowDown" in reason
        got = {"Err": {"throttled": throttled, "text": f"{response.status} {reason}"}}
    return {
        "what": what,
        "thing": thing,
        "max_age": max_age,
        "began": began,
        "ended": ended,
        "got": got,
    }


def version(body):
    """The version that a value has; what is no value has none."""
    found = re.search(r'(?:count\\*"\s*:\s*"?(\d+))|(?:^(\d+),host$)', body)
    return int(found.group(1) or found.group(2)) if found else 0


def declared(path, name, thing, max_age):
    return DECLARED, path, {"name": name}, f"declared {path}, max age {max_age} ms", thing, max_age


def on_demand(path, parameter, name, max_age):
    query, what = {parameter: name}, f"on demand {path}"
    if random.random() < 0.03:
        query["refreshNow"], what, max_age = "true", what + " refreshNow", 0
    return ON_DEMAND, path, query, what, name, max_age


def handler(event, context):
    """Everything is read again and again for some time, and nothing waits for another."""
    until = time.monotonic() + random.random() * random.choice([0, 0.1, 1, 3])
    kinds = [lambda entry=entry: declared(*entry) for entry in ENTRIES]
    for name in random.sample(PARAMETERS, 4):
        kinds.append(
            lambda name=name: on_demand("/systemsmanager/parameters/get", "name", name, 1000)
        )
    for name in SECRETS:
        kinds.append(lambda name=name: on_demand("/secretsmanager/get", "secretId", name, 2000))

    def several(kind):
        reads = [ask(*kind())]
        while time.monotonic() < until:
            time.sleep(random.random() * 0.15)
            reads.append(ask(*kind()))
        return reads

    with concurrent.futures.ThreadPoolExecutor(len(kinds)) as pool:
        return [read for reads in pool.map(several, kinds) for read in reads]
