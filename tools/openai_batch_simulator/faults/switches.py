"""Everything that can be broken on purpose, by name; and the switches that say how often.

Rule: a fault that is not in `FAULTS`, or an option that it does not have, is refused; a switch that is on counts
how often it struck, so that a test can tell 'survived' from 'never happened'.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypedDict, Unpack

from openai_batch_simulator.draws import Draws
from openai_batch_simulator.messages import Form

HOUR = 3600.0
WEEK = 7 * 24 * HOUR
STATUS_MIN, STATUS_MAX = 400, 599


@dataclass(frozen=True, slots=True)
class Fault:
    """What a fault does; *value* is its default measure, and None if it has none.

    *operation* is the call that it strikes by default: `*` is any call, empty a fault that strikes no call.
    *words* are the options that say what is answered, and to whom.
    """

    effect: str
    measure: str = ""
    value: float | None = None
    operation: str = ""
    words: tuple[str, ...] = ()
    forms: tuple[str, ...] = ()


_CALL_FORMS = tuple(Form)
# How the `errors` of a failed batch are written: a list with one error; `{"data": []}`; null; one error without code and words.
LIST, EMPTY, NULL, CODELESS = "list", "empty", "null", "codeless"
_BATCH_FORMS = (LIST, EMPTY, NULL, CODELESS)
_REFUSAL = ("code", "message", "form", "model")

# Where a measure is a share of lines, a value of 1 or more is a number of lines instead.
_SHARE = "number of lines, or a share below 1"

FAULTS: dict[str, Fault] = {
    # A call, on its way in or out.
    "dropped_before": Fault("the connection closes; nothing was done", operation="*"),
    "dropped_after": Fault("done, then the connection closes without an answer", operation="batches.create"),
    "delayed": Fault("done, and answered late", "seconds", 700.0, "batches.create"),
    "dripped": Fault("done, and the answer drips in byte by byte", "seconds", 700.0, "batches.create"),
    "redirected": Fault("done, and answered 307 to the same address", operation="batches.create"),
    "failed_after": Fault(
        "done, and answered with an error status", "status", 500.0, "batches.create", _REFUSAL, _CALL_FORMS
    ),
    "garbled": Fault("done, and answered 200 with something that is not JSON", operation="batches.create"),
    "accepted_late": Fault("the connection closes now, the call is done later", "seconds", 300.0, "batches.create"),
    "hung": Fault("not done, and never answered; the connection stays open", operation="*"),
    "refused": Fault("not done, answered with an error status", "status", 500.0, "*", _REFUSAL, _CALL_FORMS),
    "rate_limited": Fault("not done, answered 429 with retry-after", "seconds", 1.0, "*"),
    "retry_forbidden": Fault("not done, answered 429 with x-should-retry: false", operation="*"),
    "quota_exhausted": Fault(
        "not done, answered 429 insufficient_quota", operation="batches.create", words=("code", "message")
    ),
    "queue_full_at_create": Fault(
        "not done, answered 400 token_limit_exceeded", operation="batches.create", words=("message",)
    ),
    "file_too_large": Fault(
        "an upload of more bytes is answered 413",
        "bytes",
        100_000_000.0,
        words=("status", "code", "message", "form"),
        forms=_CALL_FORMS,
    ),
    # What is seen, and when.
    "file_unseen": Fault("a new file is answered 404 for a while", "seconds", 30.0),
    "file_unprocessed": Fault(
        "a new file is pending for a while, and a create that names it is refused", "seconds", 30.0, words=("message",)
    ),
    "batch_unseen": Fault("a new batch is answered 404 for a while", "seconds", 30.0),
    "batch_gone": Fault(
        "a new batch is gone after a while, answered 404 and not listed; it runs and is charged all the same",
        "seconds",
        60.0,
    ),
    "list_lags": Fault("a list of batches misses those of the last seconds", "seconds", 60.0),
    "list_reordered": Fault("a list of batches has no order"),
    "deletion_delayed": Fault("a deleted file can still be used for a while", "seconds", 300.0),
    "deletion_ignored": Fault("a deleted file can be used by the batches that name it"),
    "files_expire_early": Fault("new output files expire after a while", "seconds", 10.0),
    "output_ids_late": Fault("an ended batch names its output files only after a while", "seconds", 60.0),
    # The life of a batch.
    "queue_full": Fault("the batch fails with token_limit_exceeded whatever the quota", words=("message",)),
    "foreign_tokens": Fault("another user of the account has enqueued tokens", "tokens", 1_000_000.0),
    "internal_error": Fault("the batch fails with internal_error"),
    "unknown_error": Fault("the batch fails with a code that is in no documentation"),
    "fails": Fault(
        "the batch fails in validation, and nothing of it runs", words=("code", "message", "form"), forms=_BATCH_FORMS
    ),
    "expires": Fault("the window ends when only a share of the lines has run", "share", 0.5),
    "expiry_late": Fault("the end of the window is noticed late", "seconds", HOUR),
    "stuck_in_finalizing": Fault("the batch stays in finalizing, past its window", "seconds", WEEK),
    "never_ends": Fault(
        "the batch stays in progress past its window, which names the files of the share of its lines that ran",
        "share",
        0.5,
    ),
    "cancel_slow": Fault("the batch stays in cancelling", "seconds", 600.0),
    "cancel_ignored": Fault("a cancel is answered as if it were obeyed, and changes nothing"),
    # What a batch object says.
    "unknown_status": Fault("a status that is in no documentation"),
    "unknown_fields": Fault("fields that are in no documentation"),
    "counts_null": Fault("request_counts is null"),
    # Downloads.
    "content_cut": Fault("the download ends early in spite of its Content-Length", "bytes", 100.0, "files.content"),
    "content_unavailable": Fault("not done, answered 502", operation="files.content"),
    # Lines of the output files.
    "lines_missing": Fault("lines that ran are in neither file", _SHARE, 1.0),
    "lines_doubled": Fault("lines are there twice", _SHARE, 1.0),
    "lines_blank": Fault("blank lines in between", _SHARE, 1.0),
    "lines_foreign": Fault("lines with a custom_id that was not asked", _SHARE, 1.0),
    "lines_status_zero": Fault("lines of the output file with status_code 0", _SHARE, 1.0),
    "lines_body_string": Fault("lines whose body is a string of JSON", _SHARE, 1.0),
    "final_newline_missing": Fault("the files end without a newline"),
    # Answers.
    "line_refused": Fault(
        "lines are answered 400, or another error status",
        _SHARE,
        1.0,
        words=("status", "code", "message", "form"),
        forms=(Form.ERROR, Form.DETAIL, Form.DETAILS),
    ),
    "line_rate_limited": Fault("lines are answered 429", _SHARE, 1.0),
    "line_server_error": Fault("lines are answered 500", _SHARE, 1.0),
    "line_timeout": Fault("lines end with request_timeout and no response", _SHARE, 1.0),
    "answers_cut": Fault("answers are cut by length", _SHARE, 1.0),
    "answers_refused": Fault("the model refuses to answer", _SHARE, 1.0),
}


class Words(TypedDict, total=False):
    """The options of a switch that say what is answered, and to whom; None is the fault's own."""

    status: int | None
    code: str | None
    message: str | None
    form: str | None
    model: str | None


class UnknownSwitchError(ValueError):
    """A fault, an operation or an option that does not exist: the author of the switch corrects it."""


WORDS = ("status", "code", "message", "form", "model")


@dataclass(slots=True, kw_only=True)
class Switch:
    """A fault that is on: strikes the calls or moments that it fits, *times* times, each with probability *rate*."""

    fault: str
    operation: str
    value: float
    status: int | None = None  # None, here and below: the fault's own words
    code: str | None = None
    message: str | None = None
    form: str | None = None
    model: str | None = None  # strikes only calls about this model
    times: int | None = None  # None: until it is switched off
    skip: int = 0  # how many fitting occasions pass first
    rate: float = 1.0
    struck: int = 0

    def describe(self) -> dict[str, object]:
        """Return the switch as the control endpoint shows it."""
        return {
            name: getattr(self, name)
            for name in ("fault", "operation", "value", *WORDS, "times", "skip", "rate", "struck")
        }


class Faults:
    """The switches of one simulator."""

    def __init__(self, seed: int) -> None:
        self._chance = Draws(seed, "faults")
        self.switches: list[Switch] = []

    def switch(
        self,
        fault: str,
        *,
        operation: str | None = None,
        value: float | None = None,
        times: int | None = None,
        skip: int = 0,
        rate: float = 1.0,
        **words: Unpack[Words],
    ) -> Switch:
        """Switch *fault* on and return its switch. Raises UnknownSwitchError for what does not exist."""
        kind = FAULTS.get(fault)
        if kind is None:
            raise UnknownSwitchError(f"there is no fault {fault!r}; there are: {', '.join(FAULTS)}")
        _check_options(fault, kind, operation, value)
        _check_numbers(kind, value, times, skip, rate)
        _check_words(fault, kind, operation or kind.operation, words)
        switch = Switch(
            fault=fault,
            operation=operation or kind.operation,
            value=kind.value or 0.0 if value is None else value,
            times=times,
            skip=skip,
            rate=rate,
            **words,
        )
        self.switches.append(switch)
        return switch

    def clear(self) -> None:
        """Switch every fault off."""
        self.switches.clear()

    def strike(self, fault: str) -> float | None:
        """Return the value of *fault* if it strikes now, and count it; None if it does not."""
        found = self.first_striking([fault])
        return None if found is None else found.value

    def first_striking(
        self, faults: Iterable[str], operation: str = "", model: Callable[[], str | None] = lambda: None
    ) -> Switch | None:
        """Return the first switch among *faults* that strikes the call *operation*, and count it.

        *model* returns the model that the call is about, if there is one; it is asked only where a switch names a model.
        """
        if not self.switches:
            return None
        names = frozenset(faults)
        for switch in self.switches:
            is_meant = switch.fault in names and switch.operation in ("", "*", operation)
            if is_meant and switch.model in (None, model() if switch.model else None) and self.strikes(switch):
                return switch
        return None

    def on(self, fault: str) -> list[Switch]:
        """Return the switches of *fault*, whether or not they strike now."""
        return [switch for switch in self.switches if switch.fault == fault]

    def strikes(self, switch: Switch) -> bool:
        """Return whether *switch* strikes an occasion that fits, and count it."""
        if switch.times is not None and switch.struck >= switch.times:
            return False
        if switch.skip > 0:
            switch.skip -= 1
            return False
        strikes = self._chance.happens(switch.rate)
        switch.struck += strikes
        return strikes


# The calls, named as in the SDK: what a switch may be limited to.
OPERATIONS = (
    "files.create",
    "files.list",
    "files.retrieve",
    "files.delete",
    "files.content",
    "batches.create",
    "batches.list",
    "batches.retrieve",
    "batches.cancel",
)


# Calls that name a batch, or the input file of one: they are about its model.
ABOUT_A_MODEL = frozenset({"files.retrieve", "files.delete", "batches.create", "batches.retrieve", "batches.cancel"})


def _check_options(fault: str, kind: Fault, operation: str | None, value: float | None) -> None:
    if value is not None and kind.value is None:
        raise UnknownSwitchError(f"{fault} takes no value")
    if operation is not None and not kind.operation:
        raise UnknownSwitchError(f"{fault} strikes no call, so it takes no operation")
    if operation is not None and operation not in ("*", *OPERATIONS):
        raise UnknownSwitchError(f"there is no operation {operation!r}; there are: *, {', '.join(OPERATIONS)}")
    if fault == "accepted_late" and operation == "files.create":
        raise UnknownSwitchError("accepted_late keeps the body of the call, and takes no uploads")


def _check_numbers(kind: Fault, value: float | None, times: int | None, skip: int, rate: float) -> None:
    if not 0.0 <= rate <= 1.0:
        raise UnknownSwitchError(f"a rate is between 0 and 1, not {rate}")
    if min(skip, times or 0, value or 0) < 0:
        raise UnknownSwitchError("value, times and skip are not below 0")
    if kind.measure == "status" and value is not None and not STATUS_MIN <= value <= STATUS_MAX:
        raise UnknownSwitchError(f"an error status is between {STATUS_MIN} and {STATUS_MAX}, not {value:g}")


def _check_words(fault: str, kind: Fault, operation: str, words: Words) -> None:
    given = {name: value for name, value in words.items() if value is not None}
    for name in given.keys() - set(kind.words):
        raise UnknownSwitchError(f"{fault} takes no {name}")
    form, status = given.get("form"), given.get("status")
    if form is not None and form not in kind.forms:
        raise UnknownSwitchError(f"{fault} has no form {form!r}; there are: {', '.join(kind.forms)}")
    if isinstance(status, int) and not STATUS_MIN <= status <= STATUS_MAX:
        raise UnknownSwitchError(f"an error status is between {STATUS_MIN} and {STATUS_MAX}, not {status}")
    if "model" in given and operation not in ("*", *ABOUT_A_MODEL):
        raise UnknownSwitchError(f"{operation} is about no model; these are: *, {', '.join(sorted(ABOUT_A_MODEL))}")
