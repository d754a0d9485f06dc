"""An upload that S3 refuses to give: told apart by the code, looked at again for ten minutes, then rejected in true words."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest
from fakes.tasks import RATE, TWO_REVIEWS
from fakes.world import World
from obstore.exceptions import GenericError

from batchdrop.core.delivery.summary import Results
from batchdrop.core.model.errors import UploadRejected, UploadWithheld
from batchdrop.core.model.job import JobState
from batchdrop.core.model.keys import Upload
from batchdrop.core.model.limits import MINUTE
from batchdrop.core.model.reasons import WaitingFor
from batchdrop.edge.aws.s3 import S3Storage, open_bucket
from batchdrop.flow import complete, planned_job, submit
from batchdrop.flow.delivery.merge import merge

UPLOAD_A = Upload("inbox", "inbox/a.csv", "v1")


class Refusing(BaseHTTPRequestHandler):
    """Refuses as S3 does: a HEAD by its status alone, a GET with the code in its body. `status` and `code` are the class's."""

    status = 403
    code: str | None = "AccessDenied"

    def do_HEAD(self) -> None:
        """Answer without a body."""
        self.send_response(self.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        """Say why; or, without a code, give the object."""
        if self.code is None:
            self.send_response(206)
            self.send_header("Content-Range", "bytes 0-0/5")
            self.send_header("Last-Modified", "Sun, 22 Nov 2026 00:00:00 GMT")
            self.send_header("ETag", '"tag"')
            body = b"x"
        else:
            self.send_response(self.status)
            body = f"<Error><Code>{self.code}</Code><Message>No.</Message></Error>".encode()
        self.send_header("Content-Length", f"{len(body)}")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class calls it so
        """Say nothing."""


@pytest.fixture
def storage(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Storage]:
    """A storage whose inbox refuses with the status and code that the test names."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    status, code = request.param
    handler = type("Handler", (Refusing,), {"status": status, "code": code})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        bucket = open_bucket("inbox", f"http://127.0.0.1:{server.server_port}")
        yield S3Storage(bucket, bucket, "inbox")
        server.shutdown()
        thread.join()


def refusal(storage: S3Storage, upload: Upload = UPLOAD_A) -> UploadRejected:
    """Return what the first look at the upload raises."""
    with pytest.raises(UploadRejected) as raised:
        storage.upload_modified_at(upload)
    return raised.value


@pytest.mark.parametrize(
    ("storage", "words"),
    [
        pytest.param((403, "AccessDenied"), "access was denied (AccessDenied)", id="AccessDenied"),
        pytest.param((403, "RequestTimeTooSkewed"), "Nothing is wrong with the file", id="RequestTimeTooSkewed"),
        pytest.param((403, "InvalidAccessKeyId"), "Nothing is wrong with the file", id="InvalidAccessKeyId"),
        pytest.param((400, "ExpiredToken"), "Nothing is wrong with the file", id="ExpiredToken"),
        pytest.param((400, "KMS.DisabledException"), "KMS key that the object is encrypted under", id="KMS"),
        pytest.param((403, "NobodyKnowsThis"), "(NobodyKnowsThis)", id="unknown"),
        pytest.param((403, None), "access was denied", id="passed-meanwhile"),
    ],
    indirect=["storage"],
)
def test_what_may_pass_is_looked_at_again(storage: S3Storage, words: str) -> None:
    """A HEAD says 403 and no more, so the code comes from a GET of one byte."""
    found = refusal(storage)

    assert isinstance(found, UploadWithheld)
    assert words in found.message
    assert "archived" not in found.message


@pytest.mark.parametrize("storage", [pytest.param((403, "InvalidObjectState"), id="archived")], indirect=True)
def test_what_is_archived_stays_archived(storage: S3Storage) -> None:
    """There is nothing to wait for: a person has to restore it."""
    found = refusal(storage)

    assert not isinstance(found, UploadWithheld)
    assert "archived (InvalidObjectState)" in found.message


@pytest.mark.parametrize("storage", [pytest.param((404, "NoSuchVersion"), id="gone")], indirect=True)
def test_what_is_gone_is_gone(storage: S3Storage) -> None:
    """S3 says 404 to a client that may list."""
    found = refusal(storage)

    assert not isinstance(found, UploadWithheld)
    assert "gone" in found.message


@pytest.mark.parametrize("storage", [pytest.param((400, "InvalidRequest"), id="ours")], indirect=True)
def test_what_is_no_refusal_of_the_upload_is_an_error(storage: S3Storage) -> None:
    """A request that S3 does not understand is a defect: it goes to the alarm, not to the person who dropped."""
    with pytest.raises(GenericError):
        storage.upload_modified_at(UPLOAD_A)


@pytest.mark.parametrize("storage", [pytest.param((403, "AccessDenied"), id="AccessDenied")], indirect=True)
def test_a_key_cannot_pretend_a_code(storage: S3Storage) -> None:
    """The client's message begins with the key, which a person chose."""
    key = "inbox/for path inbox: Server returned non-2xx status code: <Code>InvalidObjectState<%2FCode>.csv"

    assert isinstance(refusal(storage, Upload("inbox", key.replace("%2F", "."), "v1")), UploadWithheld)
    assert "AccessDenied" in refusal(storage, Upload("inbox", "inbox/<Code>InvalidObjectState</Code>", "v1")).message


# ---------------------------------------------------------------------- on the whole way


@pytest.fixture
def world() -> World:
    """A world with a task."""
    world = World()
    world.storage.put_task("sentiment", RATE)
    return world


def dropped_and_withheld(world: World) -> Upload:
    """Drop a table that S3 refuses to give from the start."""
    upload = world.storage.drop("inbox/sentiment/reviews.csv", TWO_REVIEWS)
    world.storage.withheld.add((upload.key, upload.version))
    submit.handle_upload(world.ports(), world.limits, upload)
    return upload


def test_a_drop_after_a_deploy_waits_and_goes_on(world: World) -> None:
    """Permissions are not everywhere yet: nothing is rejected, and the status says what it waits for."""
    job = dropped_and_withheld(world).job_id
    began_at = world.clock.now()
    while world.clock.now() < began_at + 9 * MINUTE:
        world.tick(30)
    status = json.loads(world.result(job, "status.json"))
    assert (world.job(job).state, status["waiting"]["for"]) == (JobState.PLANNING, WaitingFor.UPLOAD)

    world.storage.withheld.clear()
    ended = world.run(job)

    assert (ended.event, ended.succeeded, ended.withheld_at, ended.waiting.cause) == ("completed", 2, 0, "")
    assert len(world.notifications.published) == 1


def test_after_ten_minutes_it_is_rejected_in_true_words(world: World) -> None:
    """Not before; and the words say what was tried, and claim no cause that nobody knows."""
    job = dropped_and_withheld(world).job_id
    began_at = world.clock.now()
    while world.job(job).state is JobState.PLANNING:
        world.tick(30)

    seconds = world.clock.now() - began_at
    reason = world.run(job).reason
    assert 10 * MINUTE <= seconds <= 12 * MINUTE
    assert reason is not None
    assert reason.code == "unreadable"
    assert "AccessDenied" in reason.message
    assert "looked at again for 10 minutes" in reason.message
    assert f"batchdrop retry {job}" in world.notifications.published[-1].text


def test_a_retry_waits_for_ten_minutes_of_its_own(world: World) -> None:
    """What a person starts again is not judged by how long it was refused before."""
    job = dropped_and_withheld(world).job_id
    world.run(job, seconds=30)
    world.advance(MINUTE)

    world.ask(job, "retry")
    world.tick(30)

    assert world.job(job).state is JobState.PLANNING
    world.storage.withheld.clear()
    assert world.run(job).event == "completed"


def test_answers_are_not_collected_without_names_at_once(world: World) -> None:
    """The upload is read again for names and records: a refusal that passes costs neither."""
    upload = world.storage.drop("inbox/sentiment/reviews.csv", TWO_REVIEWS)
    submit.handle_upload(world.ports(), world.limits, upload)
    world.storage.withheld.add((upload.key, upload.version))
    while not world.job(upload.job_id).withheld_at:
        world.tick(30)
    world.tick(2 * MINUTE)
    assert world.job(upload.job_id).state is JobState.RUNNING

    world.storage.withheld.clear()
    ended = world.run(upload.job_id)

    assert (ended.event, ended.succeeded, ended.withheld_at) == ("completed", 2, 0)
    assert b"r1,good," in world.result(upload.job_id, "results.csv")


def test_answers_are_delivered_without_names_in_the_end(world: World) -> None:
    """What is paid for is delivered although the upload cannot be read any more; the summary says why."""
    upload = world.storage.drop("inbox/sentiment/reviews.csv", TWO_REVIEWS)
    submit.handle_upload(world.ports(), world.limits, upload)
    world.storage.withheld.add((upload.key, upload.version))

    ended = world.run(upload.job_id, seconds=MINUTE)

    assert (ended.event, ended.succeeded) == ("completed", 2)
    summary = json.loads(world.result(upload.job_id, "summary.json"))
    assert summary["upload_unreadable"]["code"] == "unreadable"
    assert world.log.events.count("upload.withheld") >= 10


def test_results_are_not_merged_without_the_upload_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last step reads an upload once more that is too large to be kept in hand: it waits, too, and says so."""
    monkeypatch.setattr(planned_job, "IN_HAND_BYTES", 10)
    upload = world.storage.drop("inbox/sentiment/reviews.csv", TWO_REVIEWS)
    submit.handle_upload(world.ports(), world.limits, upload)

    def refused_at_first(*args: Any, **options: Any) -> Results:  # noqa: ANN401 - as `merge` takes them
        if not world.job(upload.job_id).withheld_at:
            world.storage.withheld.add((upload.key, upload.version))
        return merge(*args, **options)

    monkeypatch.setattr(complete, "merge", refused_at_first)
    for _ in range(200):
        if world.job(upload.job_id).withheld_at:
            break
        world.tick(30)
    waiting = world.job(upload.job_id)
    status = json.loads(world.result(upload.job_id, "status.json"))
    assert (waiting.state, status["waiting"]["for"]) == (JobState.FINISHING, WaitingFor.UPLOAD)
    world.storage.withheld.clear()

    ended = world.run(upload.job_id)

    assert (ended.event, ended.succeeded) == ("completed", 2)
    assert json.loads(world.result(upload.job_id, "summary.json"))["upload_unreadable"] is None
