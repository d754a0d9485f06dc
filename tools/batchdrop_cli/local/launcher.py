"""Starts the emulator behind its entrance and with its repairs. Run by path in the emulator's own environment, never imported.

Rule: a repair makes the emulator behave as AWS does, and nothing here knows of Batchdrop. Each one names the defect of
ministack 1.5.33.
"""

import hmac
import os
import secrets
import socketserver
import sys
import time
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import ministack.app  # type: ignore[import-not-found]  # installed in the emulator's environment only
import ministack.core.iam_evaluator  # type: ignore[import-not-found]
import ministack.core.lambda_runtime  # type: ignore[import-not-found]
import ministack.services.lambda_svc  # type: ignore[import-not-found]
import ministack.services.s3  # type: ignore[import-not-found]
import ministack.services.sts  # type: ignore[import-not-found]

# Last, so that nothing of ours hides a module of the emulator's.
sys.path.append(str(Path(__file__).parents[2]))

from batchdrop_cli.local.entrance import guarded  # found by the line above

type Reply = tuple[Any, ...]  # status, headers, body, and sometimes more
type Variables = dict[str, Any]  # of a function's configuration, or its environment


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


def secret_of(access_key_id: str) -> str | None:
    """Return the secret of a key: the owner's, a function's or a person's; None for whatever else the emulator would take.

    It takes `test`, the number of any account, and no key at all for its owner's, and checks no signature of theirs.
    """
    evaluator = ministack.core.iam_evaluator
    if access_key_id == os.environ["AWS_ACCESS_KEY_ID"]:
        return os.environ["AWS_SECRET_ACCESS_KEY"]
    if evaluator.is_root_access_key(access_key_id):
        return None
    session = ministack.services.sts._sessions.get(access_key_id) or {}  # noqa: SLF001  # the emulator has no public one
    account = session.get("AccountId") or evaluator.find_iam_access_key_account(access_key_id)
    return getattr(evaluator.resolve_credential(access_key_id, account), "secret_access_key", None)


def make_unguessable(credentials: Callable[[Variables], Variables], salt: str) -> Callable[[Variables], Variables]:
    """Return *credentials* mended: a function's keys are digests of its names, which anybody may know."""

    def salted(config: Variables) -> Variables:
        return credentials(config | {"FunctionArn": f"{config['FunctionArn']}:{salt}"})

    return salted


def name_token(variables: Callable[..., Variables], token: str) -> Callable[..., Variables]:
    """Return *variables*, a function's, with *token* in the address of its Runtime API."""

    def with_token(*arguments: object) -> Variables:
        made = variables(*arguments)
        return made | {"AWS_LAMBDA_RUNTIME_API": f"{made['AWS_LAMBDA_RUNTIME_API']}/{token}"}

    return with_token


def ask_for_token(
    handler_class: Callable[..., type[BaseHTTPRequestHandler]], token: str
) -> Callable[..., type[BaseHTTPRequestHandler]]:
    """Return *handler_class* whose Runtime API answers below *token* alone: else any program may take a function's events."""

    def guarded_class(*arguments: object) -> type[BaseHTTPRequestHandler]:
        class Guarded(handler_class(*arguments)):  # type: ignore[misc]  # made at run time
            def parse_request(self) -> bool:
                if not super().parse_request():
                    return False
                is_ours = hmac.compare_digest(self.path[1 : len(token) + 2].encode(), f"{token}/".encode())
                if not is_ours:
                    self.send_error(HTTPStatus.FORBIDDEN)
                return is_ours

        return Guarded

    return guarded_class


def close_doors() -> None:
    """Admit to the emulator, and to the Runtime APIs of its functions, only requests signed
    with a key that was made for this start.
    """
    runtime, services = ministack.core.lambda_runtime, ministack.services.lambda_svc
    token = secrets.token_hex()
    credentials = make_unguessable(runtime.execution_credentials, secrets.token_hex())
    runtime.execution_credentials = services.execution_credentials = credentials
    worker = runtime.ProvidedWorker
    worker._build_handler_class = ask_for_token(worker._build_handler_class, token)  # noqa: SLF001
    services._provided_worker_env = name_token(services._provided_worker_env, token)  # noqa: SLF001
    ministack.app.app = guarded(
        ministack.app.app,
        port=int(os.environ["GATEWAY_PORT"]),
        owner_secret=os.environ["AWS_SECRET_ACCESS_KEY"],
        secret_of=secret_of,
        now=time.time,
    )


def main() -> None:
    """Close the doors, repair, then run the emulator as its own command does; the rest it takes from the environment."""
    close_doors()
    # Its Runtime API answers in two writes, which Nagle's algorithm delays by 45 ms an invocation.
    socketserver.StreamRequestHandler.disable_nagle_algorithm = True
    ministack.services.s3._get_object = honour_range_of_a_version(ministack.services.s3._get_object)  # noqa: SLF001
    ministack.app.pin_request_origin = call_loopback_secure(ministack.app.pin_request_origin)
    services = ministack.services.lambda_svc
    services._sqs_esm_concurrency = take_concurrency_as_number(services._sqs_esm_concurrency)  # noqa: SLF001
    ministack.app.main()


if __name__ == "__main__":
    main()
