"""Ports that record: each call of the ledger, of the buckets and of the provider, in order, as a person would say it.

Rule: recording only watches. A call counts when it is made, whatever it answers; of the provider each request on the wire counts.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal, cast

import httpx2
from fakes.world import World

from batchdrop.core.model.change import Change, Row
from batchdrop.core.model.job import Job
from batchdrop.core.model.keys import Upload
from batchdrop.core.model.shard import Shard
from batchdrop.flow.ports import Ledger, Ports, Storage

type Kind = Literal["read", "write", "storage", "provider"]


@dataclass(frozen=True, slots=True)
class Effect:
    """One call: what it was made of, what it did and to what, and in whose invocation."""

    kind: Kind
    name: str
    thing: str
    writer: str

    def __str__(self) -> str:
        return f"{self.writer:14} {self.kind:9} {self.name} {self.thing}"


class Recorded:
    """Stands before a port, and notes each call before it is made."""

    def __init__(self, inner: object, note: "_Note") -> None:
        self._inner, self._note = inner, note

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the port has
        method = getattr(self._inner, name)

        def recorded(*arguments: Any, **named: Any) -> object:  # noqa: ANN401 - whatever the port takes
            if name == "put_many":
                arguments = (list(*arguments),)
            self._note(name, *arguments)
            return method(*arguments, **named)

        return recorded


@dataclass(frozen=True, slots=True)
class _Note:
    """Writes calls of one port of one invocation down."""

    kind: Kind
    writer: str
    effects: list[Effect]

    def __call__(self, name: str, *arguments: object) -> None:
        """Note the call *name*. A write of the ledger is one, however many rows it has."""
        kind: Kind = "write" if (self.kind, name) == ("read", "write") else self.kind
        things = " ".join(filter(None, map(_thing, arguments)))
        self.effects.append(Effect(kind, name, things, self.writer))


def _thing(argument: object) -> str:
    """Return what *argument* names; nothing for contents."""
    match argument:
        case Change(writes=writes):
            return ", ".join(_row(write.after) for write in writes)
        case Upload(key=key):
            return key
        case list():
            return ", ".join(key for key, _ in argument)
        case str() | int():
            return str(argument)
        case _:
            return ""


def _row(row: Row) -> str:
    match row:
        case Job(state=state):
            return f"job {state}"
        case Shard(state=state, number=number):
            return f"shard {number} {state}"
        case _:
            return "installation"


def recorded_storage(storage: Storage, effects: list[Effect], writer: str = "") -> Storage:
    """Return *storage*, whose calls are added to *effects*."""
    return cast(Storage, Recorded(storage, _Note("storage", writer, effects)))


@dataclass
class RecordingWorld(World):
    """A world that records the effects of every invocation."""

    effects: list[Effect] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Begin with empty buckets and an empty table."""
        super().__post_init__()
        self.invocation = ""  # the name of the last one that began
        self.tap.twists.append(self._noted)

    def ports(self) -> Ports:
        """Return what a new invocation is given."""
        ports = super().ports()
        self.invocation = ports.writer
        return replace(
            ports,
            ledger=cast(Ledger, Recorded(ports.ledger, _Note("read", ports.writer, self.effects))),
            storage=recorded_storage(ports.storage, self.effects, ports.writer),
        )

    def _noted(self, request: httpx2.Request, response: httpx2.Response) -> httpx2.Response:
        self.effects.append(Effect("provider", request.method, request.url.path, self.invocation))
        return response

    @contextmanager
    def recorded(self) -> Iterator[list[Effect]]:
        """Yield the list of the effects that this context has."""
        before, found = len(self.effects), list[Effect]()
        yield found
        found += self.effects[before:]


def count(effects: Iterable[Effect], kind: Kind) -> int:
    """Return how many of *effects* are of one *kind*."""
    return sum(effect.kind == kind for effect in effects)


def told(effects: Iterable[Effect]) -> str:
    """Return *effects*, one a line."""
    return "\n" + "\n".join(map(str, effects))
