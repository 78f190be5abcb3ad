"""Work for gunicorn: documents made, changed and taken apart again.
SPDX-License-Identifier: MIT"""
import hashlib
import json
import re


def application(environment, start_response):
    count = int(environment["PATH_INFO"].strip("/"))
    records = [{"id": i, "name": f"record {i * 7919 % 1000}", "tags": [f"t{i % 9}"] * (i % 5)} for i in range(count)]
    text = json.dumps(sorted(records, key=lambda record: record["name"]))
    names = ",".join(re.findall(r'"name": "([^"]*)"', text)) + str(len(json.loads(text)))
    start_response("200 OK", [("content-type", "text/plain")])
    return [hashlib.sha256(names.encode()).hexdigest().encode(), text.encode()]
