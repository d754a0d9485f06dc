"""What stories are made of: drops, the provider's moods, keys, redeploys; the stories themselves are in `scenarios`.

Rule: a scenario says which failures its items may end with. Whatever else is struck, no other reason is acceptable.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fakes.tasks import RATE
from simulation.installation import Installation

from batchdrop.core.model.limits import MINUTE

CANARY = "canary-of-a-record"


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that happens *at* so many seconds."""

    at: float
    act: Callable[[Installation], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A story; *failures* are the codes that items may fail with, *rejections* the codes of drops that cannot be used."""

    name: str
    happenings: tuple[Happening, ...]
    failures: frozenset[str] = frozenset()
    rejections: frozenset[str] = frozenset()
    limits: Mapping[str, Any] = field(default_factory=dict)
    behaviour: Mapping[str, Any] = field(default_factory=dict)
    calm_after_seconds: float = 100 * MINUTE  # when lasting faults are repaired: past the first redelivery
    is_emptied: bool = False  # the table is lost on the way, and with it what is known of jobs
    sends_once: bool = False  # of each attempt's requests that are the same
    is_restored: bool = False  # the table goes back to what it was, and jobs with it
    is_watched_for_days: bool = False  # until what is left at the provider must have been swept
    is_installed: bool = True  # the first tick after the deployment came before the first drop
    tick_seconds_min: float = 0  # long stories are told in larger steps
    is_long: bool = False  # it makes so many calls that only the campaign strikes them

    @property
    def in_order(self) -> tuple[Happening, ...]:
        """Its happenings by their time."""
        return tuple(sorted(self.happenings, key=lambda happening: happening.at))


def dropped(key: str, content: bytes, at: float = 0) -> Happening:
    """A file is dropped."""
    return Happening(at, lambda here: here.drop(key, content))


def bodies(count: int, name: str = "a", model: str = "gpt-4.1-mini") -> bytes:
    """Ready-made requests, each with a text of its own."""
    return b"".join(
        json.dumps({"model": model, "messages": [{"role": "user", "content": f"{CANARY} {name} {n}"}]}).encode() + b"\n"
        for n in range(1, count + 1)
    )


def reviews(count: int, name: str = "a") -> bytes:
    """A table for the task."""
    return b"review_id,review\r\n" + b"".join(f"r{n},{CANARY} {name} {n}\r\n".encode() for n in range(1, count + 1))


def repeating(count: int) -> bytes:
    """A table of as many reviews, of which every third says the same."""
    return b"review_id,review\r\n" + b"".join(f"r{n},{CANARY} a {n % 3}\r\n".encode() for n in range(count))


def native(count: int) -> bytes:
    """Requests for two endpoints and two models in one file."""
    lines = []
    for number in range(count):
        url, body = (
            ("/v1/embeddings", {"model": "text-embedding-3-small", "input": f"{CANARY} {number}"}),
            ("/v1/chat/completions", {"model": "gpt-4.1", "messages": [{"role": "user", "content": f"{CANARY} {number}"}]}),
        )[number % 2]  # fmt: skip
        lines.append({"custom_id": f"my/{number}", "method": "POST", "url": url, "body": body})
    return "\n".join(map(json.dumps, lines)).encode()


def with_task(here: Installation) -> None:
    """There is a task."""
    here.storage.put_task("sentiment", RATE)


def with_options(options: bytes) -> Happening:
    """The same task, which says more."""
    return Happening(-1, lambda here: here.storage.put_task("sentiment", RATE + options))


def switched(fault: str, **options: Any) -> Happening:  # noqa: ANN401 - the switch's own options
    """A fault of the simulator is on from the beginning."""
    return Happening(-1, lambda here: here.simulator.faults.switch(fault, **options))


def outage(start: float, end: float) -> Happening:
    """The provider answers 503 to everything for a while."""
    return Happening(-1, lambda here: here.outages.append((start, end)))


def withheld(number: int, start: float, end: float) -> tuple[Happening, Happening]:
    """S3 refuses to give the drop *number* for a while."""

    def places(here: Installation) -> set[tuple[str, str]]:
        return {(here.uploads[number].key, here.uploads[number].version)}

    return (
        Happening(start, lambda here: here.storage.withheld.update(places(here))),
        Happening(end, lambda here: here.storage.withheld.difference_update(places(here))),
    )


def keyed(at: float, key: str | None) -> Happening:
    """Another key is put into the secret, or none."""

    def change(here: Installation) -> None:
        here.key = key

    return Happening(at, change)


def asked(at: float, word: str) -> Happening:
    """A person says *word* about the first drop."""
    return Happening(at, lambda here: here.ask(here.uploads[0], word))
