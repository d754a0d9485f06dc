"""What a test of a client begins with: the SDK connected to a simulator in the same process, and files of requests.

Rule: the real SDK, with its retries off unless they are asked for, because a test counts calls.
"""

from collections.abc import Iterable, Mapping

import httpx2
import msgspec
import openai

from openai_batch_simulator.app import Simulator
from openai_batch_simulator.http.transport import transport

BASE_URL = "http://simulator/v1"


def connect(
    simulator: Simulator, *, key: str = "key", max_retries: int = 0, timeout_seconds: float = 60
) -> openai.OpenAI:
    """Return the SDK's client; it follows redirects, as the SDK's own HTTP client does."""
    return openai.OpenAI(
        api_key=key,
        base_url=BASE_URL,
        max_retries=max_retries,
        timeout=timeout_seconds,
        http_client=httpx2.Client(transport=transport(simulator), follow_redirects=True),
    )


def request_file(endpoint: str, bodies: Iterable[Mapping[str, object]]) -> bytes:
    """Return an input file with a line for each of *bodies*, whose ids are 1, 2, 3 and so on."""
    lines = (
        {"custom_id": str(number), "method": "POST", "url": endpoint, "body": body}
        for number, body in enumerate(bodies, start=1)
    )
    return b"".join(msgspec.json.encode(line) + b"\n" for line in lines)


def chat_file(count: int, model: str = "gpt-4.1-mini") -> bytes:
    """Return an input file of *count* different chat requests."""
    return request_file(
        "/v1/chat/completions",
        ({"model": model, "messages": [{"role": "user", "content": f"Question {number}"}]} for number in range(count)),
    )
