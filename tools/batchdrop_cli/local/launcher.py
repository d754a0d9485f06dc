"""Starts the emulator with four repairs. Run by path in the emulator's own virtual environment, never imported.

Rule: a repair makes the emulator behave as AWS does, and nothing here knows of Batchdrop. Each one names the defect of
ministack 1.5.33.
"""

import socketserver
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import ministack.app  # type: ignore[import-not-found]  # installed in the emulator's environment only
import ministack.services.lambda_svc  # type: ignore[import-not-found]
import ministack.services.s3  # type: ignore[import-not-found]

type Reply = tuple[Any, ...]  # status, headers, body, and sometimes more


def honour_range_of_a_version(get_object: Callable[..., Reply]) -> Callable[..., Reply]:
    """Return *get_object* mended: the emulator answers a range of a *version* with 200 and the whole body."""

    def get(bucket: str, key: str, headers: dict[str, str], query: dict[str, Any] | None = None) -> Reply:
        status, reply_headers, body, *rest = reply = get_object(bucket, key, headers, query)
        if status != HTTPStatus.OK or "range" not in headers or not isinstance(body, bytes | bytearray):
            return reply
        span = ministack.services.s3._parse_range(headers["range"], len(body))  # noqa: SLF001  # the emulator has no public one
        if span is None:
            return reply
        first, last = span
        part = bytes(body[first : last + 1])
        # The checksums are the whole object's.
        kept = {name: value for name, value in reply_headers.items() if not name.lower().startswith("x-amz-checksum")}
        kept |= {"Content-Range": f"bytes {first}-{last}/{len(body)}", "Content-Length": str(len(part))}
        return (HTTPStatus.PARTIAL_CONTENT.value, kept, part, *rest)

    return get


def call_loopback_secure(pin_request_origin: Callable[[str, bool], None]) -> Callable[[str, bool], None]:
    """Return *pin_request_origin* that says TLS: over plain loopback every policy that asks for TLS would deny everything."""

    def pin(source_ip: str, secure_transport: bool) -> None:  # noqa: ARG001, FBT001  # the emulator's signature
        pin_request_origin(source_ip, True)  # noqa: FBT003

    return pin


def take_concurrency_as_number(concurrency: Callable[..., int]) -> Callable[..., int]:
    """Return *concurrency* mended: a maximum that came from a template's Number parameter stays text, and stops the polling."""

    def limit(mapping: dict[str, Any], *rest: object, **named: object) -> int:
        if "ScalingConfig" in mapping:
            mapping["ScalingConfig"] = {name: int(value) for name, value in mapping["ScalingConfig"].items()}
        return concurrency(mapping, *rest, **named)

    return limit


def main() -> None:
    """Repair, then run the emulator as its own command does; everything else it takes from the environment."""
    # Its Runtime API answers in two writes, which Nagle's algorithm stretches by 45 ms an invocation.
    socketserver.StreamRequestHandler.disable_nagle_algorithm = True
    ministack.services.s3._get_object = honour_range_of_a_version(ministack.services.s3._get_object)  # noqa: SLF001
    ministack.app.pin_request_origin = call_loopback_secure(ministack.app.pin_request_origin)
    services = ministack.services.lambda_svc
    services._sqs_esm_concurrency = take_concurrency_as_number(services._sqs_esm_concurrency)  # noqa: SLF001
    ministack.app.main()


if __name__ == "__main__":
    main()
