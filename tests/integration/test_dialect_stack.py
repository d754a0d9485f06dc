"""The deployed template before a server that is not OpenAI's: the parameter reaches the functions."""

import json
import time
from collections.abc import Iterator

import boto3
import pytest
from fakes.tasks import THREE_TIMES_YES

from batchdrop.core.model.keys import Keys, Upload
from batchdrop_cli.local.environments import Environments
from batchdrop_cli.local.stack import LocalSettings, LocalStack

QUICK = ("--validate-seconds", "0.1", "--run-seconds", "0.2", "--finalize-seconds", "0.1")
WAIT_SECONDS = 60


@pytest.fixture
def stack(environments: Environments, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """A stack of its own, before the kind of server that differs most."""
    assert environments.emulator_python.exists()
    settings = LocalSettings(
        state=tmp_path_factory.mktemp("stack"), simulator_options=(*QUICK, "--dialect", "together"), tick_seconds=0.5
    )
    with LocalStack(settings) as running:
        yield running


@pytest.mark.emulator
def test_a_job_runs_before_another_kind_of_server(stack: LocalStack) -> None:
    """Every answer is there; its price is unknown, and no file says that it is nothing."""
    at = stack.description
    s3 = boto3.client("s3", **at.client_options())
    put = s3.put_object(Bucket=at.inbox_bucket, Key="inbox/three.jsonl", Body=THREE_TIMES_YES)
    keys = Keys(Upload(at.inbox_bucket, "inbox/three.jsonl", put["VersionId"]).job_id, "inbox/three.jsonl")

    until = time.monotonic() + WAIT_SECONDS
    status: dict[str, object] = {}
    while time.monotonic() < until and status.get("state") != "ENDED":
        time.sleep(0.3)
        try:
            status = json.loads(s3.get_object(Bucket=at.results_bucket, Key=keys.status)["Body"].read())
        except s3.exceptions.NoSuchKey:
            continue

    assert status.get("event") == "completed"
    summary = json.loads(s3.get_object(Bucket=at.results_bucket, Key=keys.summary)["Body"].read())
    assert summary["counts"]["succeeded"] == 3
    assert summary["receipt"]["total_dollars"] is None
