"""Moves batches through their life: each step schedules the next one.

Rule: a step looks at the status first, because a cancellation or the end of the window may have overtaken it.
"""

import functools
import math
from dataclasses import dataclass, field

from openai_batch_simulator.account.batches import Batch, Happening, Status
from openai_batch_simulator.account.behaviour import Behaviour
from openai_batch_simulator.account.execution import Run
from openai_batch_simulator.account.files import File, Files
from openai_batch_simulator.account.quota import Quota
from openai_batch_simulator.account.validation import LineError, Valid, validate
from openai_batch_simulator.answers.responder import Responder
from openai_batch_simulator.blobs import Blob, Blobs
from openai_batch_simulator.draws import Draws, Identifiers
from openai_batch_simulator.faults.lines import draw_line_faults
from openai_batch_simulator.faults.switches import LIST, Faults, Switch
from openai_batch_simulator.ledger import Ledger
from openai_batch_simulator.schedule import Schedule

# A run takes at least this many steps, so that counts are seen to grow and a cancellation finds partial results.
STEPS_MIN = 10


@dataclass(slots=True, kw_only=True)
class Lifecycle:
    """The engine of all batches of one simulator."""

    behaviour: Behaviour
    faults: Faults
    responder: Responder
    schedule: Schedule
    files: Files
    blobs: Blobs
    ledger: Ledger
    identifiers: Identifiers
    seed: int
    quota: Quota = field(init=False)
    _runs: dict[str, Run] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.quota = Quota(self.behaviour)

    def begin(self, batch: Batch) -> None:
        """Start the life of a batch that was just created."""
        due = batch.created_at + self.behaviour.validate_seconds
        self.schedule.add(due, functools.partial(self._validate, batch))
        if self.behaviour.dialect.window_expires:
            self.schedule.add(batch.expires_at, functools.partial(self._end_window, batch))

    def cancel(self, batch: Batch, now: float) -> None:
        """Begin to cancel; what is in flight still finishes."""
        batch.move(Happening.CANCEL_ASKED, now)
        slowness = self.faults.strike("cancel_slow") or 0.0
        due = now + self.behaviour.cancel_seconds + slowness
        self.schedule.add(due, functools.partial(self._stop, batch))

    def _validate(self, batch: Batch, now: float) -> None:
        if batch.status is not Status.VALIDATING:
            return
        failing = self.faults.first_striking(["fails"])
        if failing is not None:
            self._fail(batch, failing, now)
            return
        found = self._check_file(batch, now)
        if isinstance(found, Valid):
            shortage = self._shortage(found)
            if shortage is None:
                self._start(batch, found, now)
                return
            found = [LineError("token_limit_exceeded", shortage)]
        batch.errors = found
        batch.move(Happening.FOUND_INVALID, now)

    def _fail(self, batch: Batch, failing: Switch, now: float) -> None:
        message = failing.message or "The server had an error while processing your request. Sorry about that!"
        batch.errors = [LineError(failing.code or "server_error", message)]
        batch.errors_form = failing.form or LIST
        batch.move(Happening.FOUND_INVALID, now)

    def _check_file(self, batch: Batch, now: float) -> Valid | list[LineError]:
        if self.faults.strike("internal_error") is not None:
            return [LineError("internal_error", "An internal error occurred while validating the batch.")]
        if self.faults.strike("unknown_error") is not None:
            return [LineError("simulated_unknown_code", "The simulator was configured to fail with an unknown code.")]
        file = self.files.by_id.get(batch.input_file_id)
        if file is None or file.project != batch.project or not file.is_usable(now):
            message = f"Cannot find file {batch.input_file_id}."
            return [LineError("invalid_request", message, param="input_file_id")]
        with file.content.open() as source:
            return validate(source, file.content.size_bytes, batch.endpoint, self.behaviour)

    def _shortage(self, found: Valid) -> str | None:
        full = self.faults.first_striking(["queue_full"])
        if full is not None and full.message:
            return full.message
        if full is not None:
            limit = self.behaviour.enqueued_tokens_of(found.load.model)
            return self.quota.message(found.load.model, found.load.tokens if limit is None else limit)
        return self.quota.shortage(found.load, int(self.faults.strike("foreign_tokens") or 0))

    def _start(self, batch: Batch, found: Valid, now: float) -> None:
        """Take the quota and begin to run."""
        self.quota.take(found.load)
        batch.load = found.load
        batch.lines = len(found.offsets) - 1
        batch.move(Happening.FOUND_VALID, now)
        draws = Draws(self.seed, batch.id)
        run = Run(
            batch=batch,
            charges=self.ledger.open_batch(batch.id, self.files.by_id[batch.input_file_id].content, found.offsets),
            order=draws.permutation(batch.lines),
            responder=self.responder,
            bodies_are_text=self.behaviour.dialect.bodies_are_text,
            line_faults=draw_line_faults(self.faults, draws, batch.lines),
            output=self.blobs.new(),
            errors=self.blobs.new(),
        )
        self._runs[batch.id] = run
        share, stuck_share = self.faults.strike("expires"), self.faults.strike("never_ends")
        batch.is_endless = stuck_share is not None
        share = share if stuck_share is None else stuck_share
        lines_due = batch.lines if share is None else int(batch.lines * min(share, 1.0))
        self._note_step(_Pace.of(self.behaviour, run, now), lines_due, 1)

    def _note_step(self, pace: "_Pace", lines_due: int, step: int) -> None:
        due = pace.started_at + pace.seconds * step / pace.steps
        self.schedule.add(due, functools.partial(self._step, pace, lines_due, step))

    def _step(self, pace: "_Pace", lines_due: int, step: int, now: float) -> None:
        run = pace.run
        batch = run.batch
        if batch.status is not Status.IN_PROGRESS:
            return
        position = batch.lines * step // pace.steps
        run.advance_to(min(position, lines_due), now)
        if run.position == batch.lines and not batch.is_endless:
            self._finalize(batch, now)
        elif position < lines_due:
            self._note_step(pace, lines_due, step + 1)

    def _finalize(self, batch: Batch, now: float) -> None:
        batch.move(Happening.RAN, now)
        stuck_seconds = self.faults.strike("stuck_in_finalizing") or 0.0
        due = now + self.behaviour.finalize_seconds + stuck_seconds
        self.schedule.add(due, functools.partial(self._complete, batch))

    def _complete(self, batch: Batch, now: float) -> None:
        if batch.status is Status.FINALIZING:
            self._end(batch, Happening.WRITTEN, now)

    def _end_window(self, batch: Batch, now: float, *, noticed: bool = False) -> None:
        if not batch.can(Happening.WINDOW_ENDED):
            return
        if batch.is_endless:
            self._name_files(batch, self._runs[batch.id], now)
            return
        late_seconds = None if noticed else self.faults.strike("expiry_late")
        if late_seconds is not None:
            self.schedule.add(now + late_seconds, functools.partial(self._end_window, batch, noticed=True))
            return
        self._runs[batch.id].abandon_rest("batch_expired")
        self._end(batch, Happening.WINDOW_ENDED, now)

    def _stop(self, batch: Batch, now: float) -> None:
        run = self._runs.get(batch.id)
        if run is not None:
            in_flight = math.ceil(batch.lines / STEPS_MIN) if run.position < batch.lines else 0
            run.advance_to(min(batch.lines, run.position + in_flight), now)
            run.abandon_rest("batch_cancelled")
        self._end(batch, Happening.STOPPED, now)

    def _end(self, batch: Batch, happening: Happening, now: float) -> None:
        """Name the files, give the quota back, and enter the last state."""
        run = self._runs.pop(batch.id, None)
        if run is not None:
            if self.faults.strike("final_newline_missing") is not None:
                run.output.drop_last_byte()
                run.errors.drop_last_byte()
            self._name_files(batch, run, now)
            batch.files_named_at = now + (self.faults.strike("output_ids_late") or 0.0)
        if batch.load is not None:
            self.quota.give_back(batch.load)
        batch.move(happening, now)

    def _name_files(self, batch: Batch, run: Run, now: float) -> None:
        batch.output_file_id = self._name_file(batch, run.output, "output", now)
        batch.error_file_id = self._name_file(batch, run.errors, "error", now)

    def _name_file(self, batch: Batch, content: Blob, kind: str, now: float) -> str | None:
        """Make *content* a file of the project and return its identifier; None if there is nothing in it."""
        if content.size_bytes == 0 and not (kind == "error" and self.behaviour.dialect.names_empty_errors):
            return None
        early_seconds = self.faults.strike("files_expire_early")
        file = File(
            id=self.identifiers.file(),
            project=batch.project,
            filename=f"{batch.id}_{kind}.jsonl",
            purpose="batch_output",
            content=content,
            created_at=now,
            expires_at=now + (batch.output_expires_seconds if early_seconds is None else early_seconds),
        )
        self.files.add(file)
        return file.id


@dataclass(frozen=True, slots=True)
class _Pace:
    """How many steps a run has, when it starts, and how long it takes."""

    run: Run
    started_at: float
    seconds: float
    steps: int

    @classmethod
    def of(cls, behaviour: Behaviour, run: Run, now: float) -> "_Pace":
        lines = run.batch.lines
        rate = behaviour.requests_per_second
        seconds = behaviour.run_seconds if rate is None else max(behaviour.run_seconds, lines / rate)
        steps = min(lines, max(STEPS_MIN, math.ceil(lines / run.responder.lines_at_once)))
        return cls(run, now, seconds, steps)
