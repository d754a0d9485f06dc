"""What the flows do is what the template grants: the calls of whole jobs, translated into permissions."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx2
import pytest
from access.granted import FUNCTIONS, permissions_of
from access.permissions import Permission
from access.recorder import recorded
from fakes.world import World

from batchdrop.core.model.limits import HOUR, Limits
from batchdrop.flow import commands as control
from batchdrop.flow import complete, poll, submit
from batchdrop.flow.ports import Ports

TASK = b"""
endpoint: /v1/chat/completions
body: {model: gpt-4.1-mini, messages: [{role: user, content: "Rate: {{ review }}"}]}
id: review_id
"""
ENTRIES = {
    "Submit": [(submit, "handle_upload"), (submit, "handle_wakeup"), (control, "handle_command")],
    "Poll": [(poll, "tick")],
    "Complete": [(complete, "handle_wakeup")],
}
# Lambda makes these in a function's name, for its log and its own queue, and the handler hands a message back; the flows know
# nothing of them.
LAMBDAS = ("logs:", "sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility")
OWN_QUEUE = {"Submit": "SubmissionsQueue.Arn", "Complete": "CompletionsQueue.Arn"}

type Used = dict[str, set[Permission]]


def watch(monkeypatch: pytest.MonkeyPatch) -> Used:
    """Return what each function uses from now on, by its name."""
    used: Used = defaultdict(set)

    def watched(function: str, entry: Callable[..., Any]) -> Callable[..., Any]:
        def enter(ports: Ports, *arguments: Any) -> Any:  # noqa: ANN401  # the entry's own
            return entry(recorded(ports, used[function].add), *arguments)

        return enter

    for function, entries in ENTRIES.items():
        for module, name in entries:
            monkeypatch.setattr(module, name, watched(function, getattr(module, name)))
    return used


def live(world: World) -> None:
    """Let jobs of each kind go their whole way: with records refused, a missing task, a word, and a drop without an event."""
    world.storage.put_task("ask", TASK)
    mixed = b"review_id,review\r\n" + b"".join(b"r%d,text %d\r\n" % (row, row) for row in range(30)) + b"r1,again\r\n"
    jobs = [world.drop("inbox/ask/x.csv", mixed), world.drop("inbox/none/y.csv", mixed)]
    world.storage.drop("inbox/ask/unannounced.csv", mixed)
    cancelled = world.drop("inbox/ask/z.csv", mixed)
    world.ask(cancelled, "cancel")
    for job in [*jobs, cancelled]:
        world.run(job)
    for _ in range(3):
        world.tick(HOUR)


def wait_for_quota(world: World) -> None:
    """Let a job go its way that is larger than the quota, so that poll cuts what submit could not."""
    world.storage.put_task("ask", TASK)
    large = b"review_id,review\r\n" + b"".join(b"r%d,text %d\r\n" % (row, row) for row in range(60))
    world.run(world.drop("inbox/ask/large.csv", large))


def collect_at_the_second_attempt(world: World) -> None:
    """Let the first download fail: whoever collects next asks the bucket what is archived already."""
    failed: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response | None:
        if failed or not request.url.path.endswith("/content"):
            return None
        failed.append(request)
        return httpx2.Response(
            503, json={"error": {"message": "busy"}}, headers={"x-should-retry": "false"}, request=request
        )

    world.tap.answers.append(answer)
    world.storage.put_task("ask", TASK)
    world.run(world.drop("inbox/ask/late.csv", b"review_id,review\r\n1,good\r\n"))
    assert failed


@pytest.mark.parametrize("function", FUNCTIONS)
def test_flows_use_what_is_granted_and_no_more(monkeypatch: pytest.MonkeyPatch, function: str) -> None:
    """No flow makes a call that its role denies, and no permission is left that no flow makes use of."""
    used = watch(monkeypatch)

    live(World())
    collect_at_the_second_attempt(World())
    wait_for_quota(World(limits=replace(Limits(), enqueued_tokens_per_model=200)))

    granted = {held for *_, held in permissions_of(function) if not held.action.startswith(LAMBDAS)}
    granted -= {Permission("sqs:GetQueueAttributes", OWN_QUEUE.get(function, ""))}
    assert used[function] - granted == set()
    assert granted - used[function] == set()
