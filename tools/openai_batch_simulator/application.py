"""The application: one simulated account that answers requests, without a socket, a thread or a clock of its own.

Rule: `handle` lets everything happen that is due, then answers; between two calls nothing happens.
"""

import functools
import re
from collections.abc import Callable
from dataclasses import replace

from openai_batch_simulator import batch_calls, control, file_calls
from openai_batch_simulator.answers import Imitation, Responder
from openai_batch_simulator.behaviour import CALM, Behaviour
from openai_batch_simulator.call_faults import LOSSES, REFUSALS, SPOILERS, lost
from openai_batch_simulator.clock import Clock
from openai_batch_simulator.dialects import Dialect, refusal_as
from openai_batch_simulator.faults import Faults
from openai_batch_simulator.ledger import Ledger
from openai_batch_simulator.subject import buffered, model_of
from openai_batch_simulator.values import Refusal, Request, Response
from openai_batch_simulator.world import Caller, World

type Call = Callable[[World, Caller, Request, str], Response]

_ROUTES: tuple[tuple[str, re.Pattern[str], str, Call], ...] = tuple(
    (method, re.compile(pattern), operation, call)
    for method, pattern, operation, call in (
        ("GET", r"/v1/files", "files.list", file_calls.list_page),
        ("GET", r"/v1/files/([^/]+)", "files.retrieve", file_calls.retrieve),
        ("DELETE", r"/v1/files/([^/]+)", "files.delete", file_calls.delete),
        ("GET", r"/v1/files/([^/]+)/content", "files.content", file_calls.content),
        ("POST", r"/v1/batches", "batches.create", batch_calls.create),
        ("GET", r"/v1/batches", "batches.list", batch_calls.list_page),
        ("GET", r"/v1/batches/([^/]+)", "batches.retrieve", batch_calls.retrieve),
        ("POST", r"/v1/batches/([^/]+)/cancel", "batches.cancel", batch_calls.cancel),
    )
)


class Simulator:
    """A simulated account of the provider: a function from requests to responses, with a memory.

    Not safe for threads: a server holds a lock around each method.
    """

    def __init__(
        self, clock: Clock, *, seed: int = 0, behaviour: Behaviour = CALM, responder: Responder | None = None
    ) -> None:
        self.clock = clock
        self._world = World(clock=clock, seed=seed, behaviour=behaviour, responder=responder or Imitation())

    @property
    def faults(self) -> Faults:
        """The switches of everything that can be broken."""
        return self._world.faults

    @property
    def ledger(self) -> Ledger:
        """What really happened by now."""
        self.advance()
        return self._world.ledger

    @property
    def world(self) -> World:
        """What really is by now: for tests and for the control endpoint, never what a client may see."""
        self.advance()
        return self._world

    def handle(self, request: Request) -> Response:
        """Answer *request* after everything has happened that is due by now."""
        self.advance()
        return self.respond(request)

    def advance(self) -> None:
        """Let everything happen that is due by now."""
        while self.advance_once():
            pass

    def advance_once(self) -> bool:
        """Let one thing happen that is due by now, and return whether there was one."""
        return self._world.agenda.run_next(self.clock.now())

    def respond(self, request: Request) -> Response:
        """Answer *request* as things are; every answer says who gave it, and bears an identifier."""
        if request.path.startswith(control.PREFIX):
            return control.respond(self, request)
        try:
            response = self._respond(request)
        except Refusal as refusal:
            refusal.envelope = refusal_as(self._world.behaviour.dialect, refusal.envelope)
            response = refusal.response()
        named = {"x-request-id": self._world.identifiers.call(), "openai-simulated": "true"}
        return replace(response, headers={**response.headers, **named})

    def _respond(self, request: Request) -> Response:
        operation, call, identifier = _route(request, self._world.behaviour.dialect)
        self._world.ledger.calls[operation] += 1
        if not self._world.faults.switches:
            return self._perform(call, request, identifier, self.clock.now())
        if operation == "batches.create" and any(switch.model for switch in self._world.faults.switches):
            request = buffered(request)
        perform = functools.partial(self._perform, call, request, identifier)
        model = functools.cache(functools.partial(model_of, self._world, operation, identifier, request))
        return self._respond_faultily(operation, request, perform, model)

    def _respond_faultily(
        self,
        operation: str,
        request: Request,
        perform: Callable[[float], Response],
        model: Callable[[], str | None],
    ) -> Response:
        refused = self.faults.first_striking(REFUSALS, operation, model)
        if refused is not None:
            raise REFUSALS[refused.fault](refused)
        losing = self.faults.first_striking(LOSSES, operation)
        if losing is not None:
            if losing.fault == "accepted_late":
                self._accept_later(request, operation, losing.value)
            return lost(losing)
        response = perform(self.clock.now())
        spoiled = self.faults.first_striking(SPOILERS, operation, model)
        return response if spoiled is None else SPOILERS[spoiled.fault](response, spoiled, request)

    def _accept_later(self, request: Request, operation: str, seconds: float) -> None:
        """Do the call when *seconds* have passed; its answer reaches nobody."""
        kept = replace(request, body=(b"".join(request.body),))
        _, call, identifier = _route(kept, self._world.behaviour.dialect)

        def accept(due: float) -> None:
            self._world.ledger.calls[f"{operation} (late)"] += 1
            try:
                self._perform(call, kept, identifier, due)
            except Refusal:
                self._world.ledger.calls[f"{operation} (late, refused)"] += 1

        self._world.agenda.note(self.clock.now() + seconds, accept)

    def _perform(self, call: Call, request: Request, identifier: str, now: float) -> Response:
        return call(self._world, self._caller(request, now), request, identifier)

    def _caller(self, request: Request, now: float) -> Caller:
        behaviour = self._world.behaviour
        key = request.headers.get(behaviour.dialect.key_header, "")
        if behaviour.dialect.key_header == "authorization":
            scheme, _, key = key.partition(" ")
            key = key if scheme.lower() == "bearer" else ""
        project = behaviour.project_of(key.strip()) if key else None
        if project is None:
            message = "Incorrect API key provided: the simulator does not know it."
            raise Refusal(401, message, code="invalid_api_key")
        return Caller(key.strip(), project, now)


def _route(request: Request, dialect: Dialect) -> tuple[str, Call, str]:
    """Return the operation, its call and the identifier in the path. Raises Refusal where there is none."""
    is_path_known = False
    if request.method == "POST" and request.path == dialect.upload_path:
        return "files.create", file_calls.create, ""
    for method, pattern, operation, call in _ROUTES:
        found = pattern.fullmatch(request.path)
        if found is None:
            continue
        if method == request.method:
            return operation, call, found[1] if found.groups() else ""
        is_path_known = True
    if is_path_known:
        raise Refusal(405, f"Not allowed to {request.method} on {request.path}.", code="method_not_supported")
    raise Refusal(404, f"Invalid URL ({request.method} {request.path})", code="unknown_url")
