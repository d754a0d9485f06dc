"""Stands in for every function of a probe stack: does what the event says, and tells what it sees."""

import importlib.util
import json
import os
import sys
from typing import Any

import boto3


def handler(event: dict[str, Any], _context: object) -> Any:  # noqa: ANN401  # whatever AWS answered
    """Make the AWS call that the event names, or tell the environment and which modules can be imported, or tell the event."""
    if "service" in event:
        reply = getattr(boto3.client(event["service"]), event["method"])(**event["arguments"])
        return json.loads(json.dumps(reply, default=str))
    if "modules" in event:
        found = {name: importlib.util.find_spec(name) is not None for name in event["modules"]}
        return {"modules": found, "environment": dict(os.environ)}
    sys.stdout.write(json.dumps(event) + "\n")
    return None
