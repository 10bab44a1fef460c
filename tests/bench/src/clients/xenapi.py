"""Polls with the package XenAPI and prints how many events it got and the CPU time that this process took for it."""

import json
import sys
import time

import XenAPI

url, warming, polls = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
session = XenAPI.Session(url)
session.login_with_password("root", "bench", "2.20", "bench")


def poll():
    return session.xenapi_request("event.from", (["*"], "", 0.0))


for _ in range(warming):
    poll()
begun = time.process_time()
events = sum(len(poll()["events"]) for _ in range(polls))
print(json.dumps({"events": events, "seconds": time.process_time() - begun}))
