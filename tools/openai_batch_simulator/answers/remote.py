"""Lets a server behind a URL answer: a model on this machine, or anything that speaks OpenAI's API.

Rule: what that server answers is passed on unchanged; where it does not answer, the line fails as it would at the provider.
"""

import http.client
import urllib.error
import urllib.request

import msgspec

from openai_batch_simulator.answers.asked import is_object
from openai_batch_simulator.answers.responder import Answer

# The SDK's own read time-out (`openai/_constants.py`, 3.54.0, read 2026-11-22).
TIMEOUT_SECONDS = 600.0


class RemoteResponder:
    """Asks the server at *base_url*, which ends in `/v1`, one line at a time."""

    lines_at_once = 1

    def __init__(self, base_url: str, *, key: str = "none") -> None:
        if not base_url.startswith(("http://", "https://")):
            raise ValueError(f"a responder is an http or https URL, not {base_url!r}")
        self._root = base_url.rstrip("/").removesuffix("/v1")
        self._headers = {"content-type": "application/json", "authorization": f"Bearer {key}"}

    def answer(self, endpoint: str, body: bytes, now: float) -> Answer:  # noqa: ARG002 - the server has its own clock
        """Return what the server answers; a failure is an answer, too."""
        request = urllib.request.Request(self._root + endpoint, body, self._headers)  # noqa: S310 - checked when made
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:  # noqa: S310 - as above
                return _answer(response.status, response.read())
        except urllib.error.HTTPError as error:
            return _answer(error.code, error.read())
        except TimeoutError:
            return Answer(0, b"")
        except (urllib.error.URLError, http.client.HTTPException, ConnectionError) as error:
            return _failure(503, f"The responder did not answer: {error}.")


def _answer(status: int, text: bytes) -> Answer:
    try:
        body = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return _failure(502, "The responder answered something that is not JSON.")
    usage = body.get("usage") if is_object(body) else None
    tokens = usage if is_object(usage) else {}
    return Answer(status, text, _tokens(tokens, "prompt", "input"), _tokens(tokens, "completion", "output"))


def _tokens(usage: dict[str, object], *names: str) -> int:
    """Return the tokens of the first of *names* that *usage* has: endpoints name them differently."""
    counts = (usage.get(f"{name}_tokens") for name in names)
    return next((count for count in counts if isinstance(count, int)), 0)


def _failure(status: int, message: str) -> Answer:
    envelope = {"error": {"message": message, "type": "server_error", "param": None, "code": None}}
    return Answer(status, msgspec.json.encode(envelope))
