"""Asks the sidecar for something, and then does what its event says."""

import http.client
import os
import time


def handler(event, context):
    sidecar = http.client.HTTPConnection("localhost", int(os.environ["LAMBDA_CACHE_PORT"]))
    sidecar.request("GET", "/parameters?name=unknown")
    response = sidecar.getresponse()
    answer = [response.status, response.read().decode()]
    match event.get("then"):
        case "hang":
            time.sleep(600)
        case "crash":
            os._exit(3)
    return answer
