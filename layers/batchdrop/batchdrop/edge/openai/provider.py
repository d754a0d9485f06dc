"""Calls OpenAI's Files and Batches API, through its SDK.

Rule: a batch is created by exactly one POST, and what came of it is never guessed at. Nothing is taken from `OPENAI_*`
variables. Importing this module takes half a second for the SDK: `edge/openai/opening.py` does so at the last moment.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from copy import copy
from typing import Any, BinaryIO, override

import httpx2
import openai
from openai import OpenAI

from batchdrop.core.model.batches import (
    Accepted,
    Batch,
    BatchPage,
    CreateAnswer,
    Declined,
    FilePage,
    NotSent,
    Uncertain,
)
from batchdrop.core.model.dialects import OPENAI, Dialect
from batchdrop.core.model.errors import (
    DownloadCut,
    KeyRefused,
    NotAtProvider,
    ProviderError,
    ProviderRefused,
    ProviderSilent,
    ProviderUnavailable,
)
from batchdrop.core.submission.refusals import is_account_refused, is_definite
from batchdrop.edge.deadline import DeadlinePassed, deadline
from batchdrop.edge.openai.key_mask import KeyMask
from batchdrop.edge.openai.reading import (
    read_batch,
    read_created,
    read_file,
    read_files,
    read_id,
    read_list,
    read_object,
    read_page,
)
from batchdrop.edge.openai.redirects import REFUSED, refused_target, stay
from batchdrop.edge.openai.words import asked_seconds, bounded, name_of, read_words
from batchdrop.flow.ports import ByteSink

# Most that a list may return (https://developers.openai.com/api/reference/resources/batches, 2026-11-22).
LIST_LIMIT = 100
RETRIES_MAX = 2
# The SDK would sleep for two minutes where a server asks for it: as long as a poll may live.
RETRY_AFTER_SECONDS_MAX = 5
CONNECT_TIMEOUT_SECONDS = 5.0
TIMEOUT = httpx2.Timeout(60.0, connect=CONNECT_TIMEOUT_SECONDS)
# After 200 MB the provider takes its time to answer. A caller with other work to do passes a shorter time.
UPLOAD_SECONDS = 180
DOWNLOAD_CHUNK_BYTES = 1 << 20
# On the server itself, as one that wants a slash at the end has it; an upload of 200 MB goes again with each.
REDIRECTS_MAX = 2
# With less than this left no call is begun.
CALL_SECONDS_MIN = 1.0

# A definite no: no batch exists (docs/decisions/0003-create-once.md). Any other status of a create is uncertain: 408, 409 and
# 425 ask for another try, and what is not registered (https://www.iana.org/assignments/http-status-codes, read 2026-12-01) may
# be a proxy's word for a client that went away, such as 460 and 499.
_DECLINED = frozenset({*range(400, 408), *range(410, 419), 421, 422, 423, 424, 426, 428, 429, 431, 451})
# Raised before a byte of the request is sent: no such name, no listener, no connection in time, TLS refused.
_NEVER_CONNECTED = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)
# The provider does not know an id, or does not any more.
_ABSENT = frozenset({404, 410})
# A length with more digits is none.
_LENGTH_DIGITS_MAX = 15
_STAYS = "and neither the key nor a file follows there: OpenAIBaseUrl has to name the server itself."
# What a cancel of a batch that has ended is answered with is not documented; re-implementations say 409.
_ENDED = frozenset({400, 409})


class _Client(OpenAI):
    """The SDK's client without what it takes from the environment, and without long sleeps."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - the SDK's own constructor, and its copies call this one
        super().__init__(**options)
        self.organization = None
        self.project = None
        self.admin_api_key = None
        self._custom_headers = {}

    @override
    def _should_retry(self, response: httpx2.Response) -> bool:
        return asked_seconds(response.headers) <= RETRY_AFTER_SECONDS_MAX and super()._should_retry(response)


class _ApiKeyClient(_Client):
    """The same for a server that reads the key in `api-key`; it is sent in no second header."""

    @override
    def _prepare_request(self, request: httpx2.Request) -> None:
        super()._prepare_request(request)
        request.headers["api-key"] = request.headers.pop("authorization").removeprefix("Bearer ")


class OpenAIProvider:
    """One key at one base URL, whose server speaks *dialect*.

    *on_refused* is called when the key is refused, so that it is read again.
    """

    def __init__(
        self,
        key: str,
        base_url: str,
        fingerprint: str,
        *,
        create_timeout_seconds: int,
        on_refused: Callable[[], None],
        dialect: Dialect = OPENAI,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        self.base_url = base_url
        self.fingerprint = fingerprint
        self.dialect = dialect
        self._create_timeout_seconds = create_timeout_seconds
        self._on_refused = on_refused
        self._mask = KeyMask(key)
        self._left_seconds: Callable[[], float] | None = None
        # A mapping, because the SDK's own client fills in what is not given.
        options: dict[str, Any] = {"event_hooks": {"response": [stay]}, "max_redirects": REDIRECTS_MAX}
        options |= {} if transport is None else {"transport": transport}
        self._client = (_Client if dialect.key_header == "authorization" else _ApiKeyClient)(
            api_key=key,
            base_url=base_url,
            timeout=TIMEOUT,
            max_retries=RETRIES_MAX,
            http_client=openai.DefaultHttpxClient(**options),
        )
        # The SDK follows a 307 with a second POST; this connection does not.
        self._creating = self._client.with_options(
            max_retries=0,
            timeout=httpx2.Timeout(float(create_timeout_seconds), connect=CONNECT_TIMEOUT_SECONDS),
            http_client=openai.DefaultHttpxClient(follow_redirects=False, **options),
        )

    def hurried(self, left_seconds: Callable[[], float]) -> "OpenAIProvider":
        """Return the same provider whose calls, except the create, are made once and take at most the time that is left."""
        hurried = copy(self)
        hurried._client = self._client.with_options(max_retries=0)  # noqa: SLF001 - of this very class
        hurried._left_seconds = left_seconds  # noqa: SLF001
        return hurried

    def close(self) -> None:
        """Close the connections, if the provider is done before the process ends; in Lambda they are kept."""
        self._client.close()
        self._creating.close()

    def create_batch(self, *, file: str, endpoint: str, metadata: Mapping[str, str]) -> CreateAnswer:
        """Make one POST, at most one, and say what came of it."""
        client = self._creating
        try:
            with deadline(self._create_timeout_seconds):
                made = client.batches.with_raw_response.create(
                    input_file_id=file,
                    endpoint=self.dialect.endpoint(endpoint),  # type: ignore[arg-type]  # the provider says which it takes
                    completion_window=self.dialect.completion_window,  # type: ignore[arg-type]  # as the endpoint
                    # A server that does not show metadata again does not get it.
                    metadata=dict(metadata) if self.dialect.echoes_metadata else openai.omit,
                )
            batch = read_created(read_object(made.content, self._mask), self.dialect)
            if batch is None:
                return Uncertain("a 2xx without a batch's id")
            return Accepted(batch, name_of(made.headers.get("x-request-id"), self._mask))
        except openai.APIStatusError as error:
            return self._answer_to(error)
        except DeadlinePassed:
            return Uncertain(f"no answer within {self._create_timeout_seconds} s", is_silent=True)
        except (openai.OpenAIError, httpx2.HTTPError, OSError, ValueError, TypeError) as error:
            # ValueError and TypeError: a 2xx whose body isn't a batch.
            cause = self._described(error)
            if isinstance(error.__cause__, _NEVER_CONNECTED):
                return NotSent(cause)
            return Uncertain(cause, is_silent=isinstance(error, openai.APITimeoutError))

    def _answer_to(self, error: openai.APIStatusError) -> CreateAnswer:
        words = read_words(error.response, str(error), self._mask)
        if error.status_code not in _DECLINED:
            return Uncertain(f"status {error.status_code}: {words.message}")
        if is_account_refused(error.status_code, words.code):
            self._on_refused()
        wait_seconds = asked_seconds(error.response.headers)
        return Declined(error.status_code, words.code, words.message, wait_seconds, words.param)

    def upload_input(
        self,
        name: str,
        lines: BinaryIO,
        lifetime_seconds: int,
        *,
        answer_seconds: int = UPLOAD_SECONDS,
        total_seconds: int = UPLOAD_SECONDS,
    ) -> str:
        """Store an input file under *name*, to expire automatically if the server takes an expiry, and return its id.

        Raises ProviderSilent where no byte is taken, or nothing is answered, for *answer_seconds*, or it takes *total_seconds*.
        """
        lines.seek(0)
        dialect, form = self.dialect, {"purpose": self.dialect.purpose}
        if dialect.sends_file_name:
            form["file_name"] = name
        kept_seconds = dialect.lifetime_seconds(lifetime_seconds)
        expiry = {} if kept_seconds is None else {"expires_after": {"anchor": "created_at", "seconds": kept_seconds}}
        with self._translated(total_seconds=total_seconds):
            # What `files.create` does, which knows one path and no `file_name`; and once, because it may be 200 MB: the caller
            # tries again, each time later.
            made = self._client.post(
                dialect.upload_path,
                cast_to=httpx2.Response,
                body={**form, **expiry},
                files=[("file", (name, lines))],
                options={
                    "timeout": self._timeout(httpx2.Timeout(float(answer_seconds), connect=CONNECT_TIMEOUT_SECONDS)),
                    "headers": {"Content-Type": "multipart/form-data"},
                    "max_retries": 0,
                },
            )
            file = read_id(read_object(made.content, self._mask).get("id"))
        if not file:
            raise ProviderUnavailable(f"the upload of {name} was answered without an id")
        return file

    def list_batches(self, after: str | None) -> BatchPage:
        """Return up to 100 batches that follow the one called *after*."""
        query: dict[str, object] = {}
        if self.dialect.list_cursor == "after":
            query["limit"] = LIST_LIMIT
        if after:
            query[self.dialect.list_cursor] = after
        with self._translated():
            page = self._client.batches.with_raw_response.list(extra_query=query, timeout=self._timeout())
            return read_page(read_list(page.content, self.dialect, self._mask), self.dialect)

    def batch(self, batch: str) -> Batch:
        """Return one batch."""
        with self._translated(batch):
            found = self._once().batches.with_raw_response.retrieve(batch, timeout=self._timeout())
            return read_batch(read_object(found.content, self._mask), self.dialect)

    def cancel_batch(self, batch: str) -> None:
        """Ask to stop a batch. One call, because the SDK would repeat a 409, which says that the batch has ended."""
        with self._translated(batch):
            try:
                client = self._once()
                client.batches.with_raw_response.cancel(batch, timeout=self._timeout())
            except openai.APIStatusError as error:
                if error.status_code not in _ENDED:
                    raise

    def file_exists(self, file: str) -> bool:
        """Return whether a file of this id is visible to this key."""
        try:
            self._file(file)
        except NotAtProvider:
            return False
        return True

    def file_status(self, file: str) -> str:
        """Return the status of an uploaded file in lower case, `processed` once a batch may be made of it."""
        return read_file(self._file(file)).status

    def _file(self, file: str) -> Mapping[str, object]:
        with self._translated(file):
            found = self._client.files.with_raw_response.retrieve(file, timeout=self._timeout())
            return read_object(found.content, self._mask)

    def list_files(self, after: str | None) -> FilePage:
        """Return up to 1,000 input files that follow the one called *after*, where the server orders them the oldest first."""
        query: dict[str, object] = {"purpose": self.dialect.purpose}
        if self.dialect.list_cursor == "after":
            query |= {"order": "asc", "limit": self.dialect.files_page_max}
        if after:
            query[self.dialect.list_cursor] = after
        with self._translated():
            page = self._client.files.with_raw_response.list(extra_query=query, timeout=self._timeout())
            return read_files(read_list(page.content, self.dialect, self._mask))

    def delete_file(self, file: str) -> None:
        """Delete the file; returns once the provider says that it is gone (2xx or 404)."""
        try:
            with self._translated():  # a 404 alone fences a create off: 410 may mean the call and not the file
                client = self._once()
                gone = client.files.with_raw_response.delete(file, timeout=self._timeout())
                answer = read_object(gone.content, self._mask)
        except ProviderRefused as error:
            if error.status != httpx2.codes.NOT_FOUND:
                raise
            return
        if answer.get("deleted") is False:
            raise ProviderUnavailable(f"{file} was not deleted")

    def download(self, file: str, target: ByteSink) -> int:
        """Write the file's content to *target* and return its bytes, checked against the announced length."""
        size_bytes = 0
        with (
            self._translated(file),
            # Unpacked on the way, the length would be that of something else.
            self._once().files.with_streaming_response.content(
                file, extra_headers={"accept-encoding": "identity"}, timeout=self._timeout()
            ) as found,
        ):
            announced = _announced(found.headers)
            masked = self._mask.sink(target)
            try:
                for content in found.iter_bytes(DOWNLOAD_CHUNK_BYTES):
                    size_bytes += masked.write(content)
            except (httpx2.HTTPError, openai.APIError) as error:
                raise DownloadCut(
                    f"{file} ended after {size_bytes:,} bytes of {announced or 'unknown'}"
                ) from self._shown(error)
            masked.finish()
        if announced is not None and size_bytes != announced:
            raise DownloadCut(f"{file} ended after {size_bytes:,} of {announced:,} bytes")
        return size_bytes

    def _once(self) -> OpenAI:
        """Return the client that does not retry: the caller tries again in a minute, or a sweep does."""
        return self._client.with_options(max_retries=0)

    def _timeout(self, usual: httpx2.Timeout = TIMEOUT) -> httpx2.Timeout:
        """Return how long each wait of a call may be: as usual, but no longer than what is left."""
        if self._left_seconds is None:
            return usual
        left = max(CALL_SECONDS_MIN, self._left_seconds())
        return httpx2.Timeout(min(left, usual.read or left), connect=min(left, CONNECT_TIMEOUT_SECONDS))

    def _deadline(self, total_seconds: float | None) -> AbstractContextManager[None]:
        """Bound one call as a whole by what is left. Raises ProviderUnavailable where that is nothing."""
        if self._left_seconds is None:
            return nullcontext() if total_seconds is None else deadline(total_seconds)
        left = self._left_seconds()
        if left < CALL_SECONDS_MIN:
            raise ProviderUnavailable("the time for calls of this round is over")
        return deadline(left)

    @contextmanager
    def _translated(self, named: str = "", total_seconds: float | None = None) -> Iterator[None]:
        """Turn the SDK's errors into ours; *named* is the id that a 404 is about."""
        try:
            with self._deadline(total_seconds):
                yield
        except DeadlinePassed as error:
            raise ProviderSilent("no answer in the time that was left for it") from error
        except openai.APITimeoutError as error:
            raise ProviderSilent(self._described(error)) from self._shown(error)
        except openai.APIStatusError as error:
            raise self._refused(error, named) from self._shown(error)
        except (openai.OpenAIError, httpx2.HTTPError, TypeError) as error:
            raise ProviderUnavailable(self._described(error)) from self._shown(error)

    def _refused(self, error: openai.APIStatusError, named: str) -> ProviderError:
        """Return what an *error* of HTTP means."""
        status, words = error.status_code, read_words(error.response, str(error), self._mask)
        elsewhere = refused_target(error.response)
        if elsewhere:
            return ProviderRefused(status, REFUSED, f"The server leads to {elsewhere}, {_STAYS}")
        if is_account_refused(status, words.code):
            self._on_refused()
            return KeyRefused(words.code or f"http_{status}", words.message)
        if status in _ABSENT and named:
            return NotAtProvider(f"{named}: {words.message}")
        if is_definite(status, words.code):
            return ProviderRefused(status, words.code, words.message)
        return ProviderUnavailable(f"status {status}: {words.message}")

    def _described(self, error: Exception) -> str:
        return f"{type(error).__name__}: {bounded(str(error), self._mask)}"

    def _shown(self, error: BaseException) -> BaseException | None:
        """Return *error* as the cause of ours; None where a traceback would show the key in it, or in what caused it."""
        cause: BaseException | None = error
        while cause is not None:
            if self._mask.is_in(str(cause)):
                return None
            cause = cause.__cause__ or cause.__context__
        return error


def _announced(headers: Mapping[str, str]) -> int | None:
    """Return how many bytes will come; None where that is not said, or not known because they are packed all the same."""
    length = headers.get("content-length", "")
    is_plain = headers.get("content-encoding", "identity") == "identity"
    is_length = length.isascii() and length.isdigit() and len(length) <= _LENGTH_DIGITS_MAX
    return int(length) if is_plain and is_length else None
