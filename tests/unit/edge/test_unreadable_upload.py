"""An upload that S3 shows and does not give, through the real client."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from batchdrop.core.model.errors import UploadRejected
from batchdrop.core.model.keys import Upload
from batchdrop.edge.aws.s3 import S3Storage, open_bucket

SIZE_BYTES = 5


class _Withholding(BaseHTTPRequestHandler):
    """Answers a HEAD as if all were well, and refuses the content as S3 does; `status` is the class's own."""

    status = 403
    error = "InvalidObjectState"

    def do_HEAD(self) -> None:
        """Show the object."""
        self.send_response(200)
        self.send_header("Content-Length", f"{SIZE_BYTES}")
        self.send_header("Last-Modified", "Sun, 22 Nov 2026 00:00:00 GMT")
        self.send_header("ETag", '"tag"')
        self.end_headers()

    def do_GET(self) -> None:
        """Refuse its content."""
        body = f"<Error><Code>{self.error}</Code></Error>".encode()
        self.send_response(self.status)
        self.send_header("Content-Length", f"{len(body)}")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class calls it so
        """Say nothing."""


class _Gone(_Withholding):
    status = 404
    error = "NoSuchVersion"


@pytest.fixture(params=[_Withholding, _Gone])
def storage(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Storage]:
    """A storage whose inbox withholds what it shows."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    with HTTPServer(("127.0.0.1", 0), request.param) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        bucket = open_bucket("inbox", f"http://127.0.0.1:{server.server_port}")
        yield S3Storage(bucket, bucket, "inbox")
        server.shutdown()
        thread.join()


def test_an_upload_that_is_shown_and_not_given_is_rejected(storage: S3Storage) -> None:
    """Archived objects, and those under a foreign key, answer a HEAD: only reading them tells."""
    upload = Upload("inbox", "inbox/a.csv", "v1")

    with pytest.raises(UploadRejected) as rejected, storage.open_upload(upload) as stream:
        stream.read()

    assert rejected.value.code == "unreadable"
    assert storage.upload_size_bytes(upload) == SIZE_BYTES
