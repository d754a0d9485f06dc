"""Draws which lines of one batch the faults strike, and spoils their answers.

Rule: drawn once when the batch starts to run, so that which lines suffer does not depend on who looks when.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from openai_batch_simulator.answers.responder import Answer
from openai_batch_simulator.draws import Draws
from openai_batch_simulator.faults.switches import FAULTS, Faults, Switch
from openai_batch_simulator.messages import Form, Refusal

LINE_FAULTS = tuple(name for name in FAULTS if name.startswith(("lines_", "line_", "answers_")))

_TIMED_OUT = Answer(0, b"")


def _failure(status_code: int, message: str, kind: str, code: str | None, form: Form = Form.ERROR) -> Answer:
    refusal = Refusal(status_code, message, kind=kind, code=code, form=form)
    return Answer(status_code, b"".join(refusal.response().body))


def _refused(switch: Switch) -> Answer:
    """Return what a line is answered by `line_refused`, in the words of its *switch*."""
    message, code = switch.message or "The simulator was configured to refuse this.", switch.code or "invalid_value"
    return _failure(switch.status or 400, message, "invalid_request_error", code, Form(switch.form or Form.ERROR))


_FAILURES: dict[str, Answer] = {
    "line_rate_limited": _failure(429, "Rate limit reached.", "requests", "rate_limit_exceeded"),
    "line_server_error": _failure(500, "The server had an error while processing your request.", "server_error", None),
    "line_timeout": _TIMED_OUT,
}


@dataclass(frozen=True, slots=True)
class LineFaults:
    """For each fault that strikes the batch, the 0-based lines that it strikes."""

    lines: dict[str, frozenset[int]] = field(default_factory=dict)
    refused: Answer | None = None  # what `line_refused` answers

    def on(self, line: int) -> frozenset[str]:
        """Return the faults that strike *line*."""
        return frozenset(fault for fault, lines in self.lines.items() if line in lines)


def draw_line_faults(faults: Faults, draws: Draws, line_count: int) -> LineFaults:
    """Return what strikes a batch of *line_count* lines."""
    drawn, refused = {}, None
    for fault in LINE_FAULTS:
        switch = faults.first_striking([fault])
        if switch is not None:
            count = int(switch.value) if switch.value >= 1 else round(switch.value * line_count)
            drawn[fault] = draws.sample(line_count, count)
            refused = _refused(switch) if fault == "line_refused" else refused
    return LineFaults(drawn, refused)


def instead_of_answer(line_faults: LineFaults, struck: frozenset[str]) -> Answer | None:
    """Return the failure that is answered without asking the model, if there is one."""
    if "line_refused" in struck:
        return line_faults.refused
    return next((_FAILURES[fault] for fault in _FAILURES if fault in struck), None)


def spoil(answer: Answer, struck: frozenset[str]) -> Answer:
    """Return what becomes of a good *answer*; only chat completions and responses can be cut or refused."""
    for fault, change in (("answers_cut", _cut), ("answers_refused", _refuse)):
        if fault in struck:
            answer = _changed(answer, change)
    if "lines_body_string" in struck:
        answer = _with_body(answer, msgspec.json.encode(answer.body.decode()))
    if "lines_status_zero" in struck:
        answer = Answer(0, b"{}")
    return answer


def _with_body(answer: Answer, body: bytes) -> Answer:
    return Answer(answer.status_code, body, answer.input_tokens, answer.output_tokens)


def _changed(answer: Answer, change: Callable[[dict[str, object]], None]) -> Answer:
    body = msgspec.json.decode(answer.body, type=dict)
    change(body)
    return _with_body(answer, msgspec.json.encode(body))


def _objects(value: object) -> list[dict[str, object]]:
    return [element for element in value if isinstance(element, dict)] if isinstance(value, list) else []


def _cut(body: dict[str, object]) -> None:
    for choice in _objects(body.get("choices")):
        choice["finish_reason"] = "length"
    if body.get("object") == "response":
        body["status"], body["incomplete_details"] = "incomplete", {"reason": "max_output_tokens"}


def _refuse(body: dict[str, object]) -> None:
    refusal = "[simulated] I cannot help with that."
    for choice in _objects(body.get("choices")):
        message = choice.get("message")
        if isinstance(message, dict):
            message["content"], message["refusal"] = None, refusal
    for item in _objects(body.get("output")):
        if item.get("type") == "message":
            item["content"] = [{"type": "refusal", "refusal": refusal}]
