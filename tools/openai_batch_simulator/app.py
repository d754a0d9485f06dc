"""Answers requests about one simulated account, without a socket, a thread or a clock of its own.

Rule: `handle` lets everything happen that is due, then answers; between two calls nothing happens.
"""

import functools
from collections.abc import Callable
from dataclasses import replace

from openai_batch_simulator import control
from openai_batch_simulator.account.account import Account, Caller
from openai_batch_simulator.account.behaviour import CALM, Behaviour
from openai_batch_simulator.account.dialects import refusal_as
from openai_batch_simulator.answers.imitation import Imitation
from openai_batch_simulator.answers.responder import Responder
from openai_batch_simulator.api.model_of_call import buffered, model_of
from openai_batch_simulator.clock import Clock
from openai_batch_simulator.faults.calls import LOSSES, REFUSALS, SPOILERS, lost
from openai_batch_simulator.faults.switches import Faults
from openai_batch_simulator.ledger import Ledger
from openai_batch_simulator.messages import Refusal, Request, Response
from openai_batch_simulator.routes import Call, route


class Simulator:
    """A simulated account of the provider: a function from requests to responses, with a memory.

    Not safe for threads: a server holds a lock around each method.
    """

    def __init__(
        self, clock: Clock, *, seed: int = 0, behaviour: Behaviour = CALM, responder: Responder | None = None
    ) -> None:
        self.clock = clock
        self._account = Account(clock=clock, seed=seed, behaviour=behaviour, responder=responder or Imitation())

    @property
    def faults(self) -> Faults:
        """The switches of everything that can be broken."""
        return self._account.faults

    @property
    def ledger(self) -> Ledger:
        """What really happened by now."""
        self.advance()
        return self._account.ledger

    @property
    def account(self) -> Account:
        """What really is by now: for tests, never what a client may see."""
        self.advance()
        return self._account

    def handle(self, request: Request) -> Response:
        """Answer *request* after everything has happened that is due by now."""
        self.advance()
        return self.respond(request)

    def advance(self) -> None:
        """Let everything happen that is due by now."""
        self._account.advance()

    def advance_once(self) -> bool:
        """Let one thing happen that is due by now, and return whether there was one."""
        return self._account.advance_once()

    def respond(self, request: Request) -> Response:
        """Answer *request* as things are; every answer says who gave it, and has an identifier."""
        if request.path.startswith(control.PREFIX):
            return control.respond(self._account, request)
        try:
            response = self._respond(request)
        except Refusal as refusal:
            refusal.envelope = refusal_as(self._account.behaviour.dialect, refusal.envelope)
            response = refusal.response()
        named = {"x-request-id": self._account.identifiers.call(), "openai-simulated": "true"}
        return replace(response, headers={**response.headers, **named})

    def _respond(self, request: Request) -> Response:
        operation, call, identifier = route(request, self._account.behaviour.dialect)
        self._account.ledger.calls[operation] += 1
        if not self._account.faults.switches:
            return self._perform(call, request, identifier, self.clock.now())
        if operation == "batches.create" and any(switch.model for switch in self._account.faults.switches):
            request = buffered(request)
        perform = functools.partial(self._perform, call, request, identifier)
        model = functools.cache(functools.partial(model_of, self._account, operation, identifier, request))
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
        """Do the call when *seconds* have passed; its answer is lost."""
        kept = replace(request, body=(b"".join(request.body),))
        _, call, identifier = route(kept, self._account.behaviour.dialect)

        def accept(due: float) -> None:
            self._account.ledger.calls[f"{operation} (late)"] += 1
            try:
                self._perform(call, kept, identifier, due)
            except Refusal:
                self._account.ledger.calls[f"{operation} (late, refused)"] += 1

        self._account.schedule.add(self.clock.now() + seconds, accept)

    def _perform(self, call: Call, request: Request, identifier: str, now: float) -> Response:
        return call(self._account, self._caller(request, now), request, identifier)

    def _caller(self, request: Request, now: float) -> Caller:
        behaviour = self._account.behaviour
        key = request.headers.get(behaviour.dialect.key_header, "")
        if behaviour.dialect.key_header == "authorization":
            scheme, _, key = key.partition(" ")
            key = key if scheme.lower() == "bearer" else ""
        project = behaviour.project_of(key.strip()) if key else None
        if project is None:
            message = "Incorrect API key provided: the simulator does not know it."
            raise Refusal(401, message, code="invalid_api_key")
        return Caller(key.strip(), project, now)
