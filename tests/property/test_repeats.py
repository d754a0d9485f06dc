import json
from collections import Counter
from dataclasses import replace
from hashlib import sha256

from fakes.answered import AnsweredJob, answer_line, chat_request, error_line, json_lines, success
from hypothesis import given
from hypothesis import strategies as st

from batchdrop.core.model.job import TaskOptions
from batchdrop.core.model.outcomes import Outcome
from batchdrop.core.planning.requests import body_of_line, row_of_line
from batchdrop.core.submission.dedupe import SentOnce
from batchdrop.flow.planned_job import PlannedJob

# What becomes of a request at each of three attempts.
FATES = st.sampled_from(["answered", "refused", "expired", "server_error"])
STORIES = st.lists(st.lists(FATES, min_size=3, max_size=3), min_size=1, max_size=4)


def answered(job: AnsweredJob, stories: list[list[str]]) -> tuple[list[Outcome], list[Counter[bytes]]]:
    """Harvest *job* to its end, each request after its story; return its outcomes, and what each batch was asked how often."""
    shard, asked = job.shard(), []
    for attempt in range(3):
        lines = list(PlannedJob(job.storage, job.job).lines(shard))
        sent = list(SentOnce(lines)) if job.job.options.dedupe else lines
        asked.append(Counter(map(body_of_line, sent)))
        output, errors = b"", b""
        for line in sent:
            row, body = row_of_line(line), body_of_line(line)
            fate = stories[int(json.loads(body)["messages"][0]["content"]) % len(stories)][attempt]
            if fate == "answered":
                output += success(row, sha256(body).hexdigest())
            elif fate == "expired":
                errors += error_line(row, "batch_expired")
            else:
                errors += answer_line(row, {"error": {"code": fate}}, 400 if fate == "refused" else 500)
        harvest = job.harvest(shard, output, errors)
        if not harvest.again_lines:
            break
        shard = job.next_attempt(shard, harvest)
    return job.part(), asked


@given(st.lists(st.integers(0, 5), min_size=1, max_size=12), STORIES)
def test_everybody_gets_what_they_would_have_got(texts: list[int], stories: list[list[str]]) -> None:
    """For any repeats and whatever becomes of requests: the same outcomes, each body once a batch, and usage once a request."""
    content = json_lines(chat_request(str(text)) for text in texts)
    plain, once = AnsweredJob("inbox/q.jsonl", content), AnsweredJob("inbox/q.jsonl", content)
    once.job = replace(once.job, options=TaskOptions(dedupe=True))

    expected, _ = answered(plain, stories)
    found, asked = answered(once, stories)

    assert [_worth(outcome) for outcome in found] == [_worth(outcome) for outcome in expected]
    assert [json.loads(bytes(one.record)) for one in found] == [json.loads(bytes(one.record)) for one in expected]
    assert once.items().keys() == plain.items().keys()
    assert all(count == 1 for batch in asked for count in batch.values())
    names = {outcome.name: outcome for outcome in found}
    for outcome in found:
        original = names[outcome.same_as] if isinstance(outcome.same_as, str) else outcome
        assert not original.is_copy
        assert _worth(original)[1:] == _worth(outcome)[1:]
    paid = {json.dumps(json.loads(bytes(one.record))) for one in found if one.error is None}
    assert sum(one.usage is not None for one in found) == len(paid)


def _worth(outcome: Outcome) -> tuple[object, ...]:
    """What a person asked for, beside whose request it was."""
    code = outcome.error and outcome.error.code
    return (outcome.row, outcome.status, bytes(outcome.output), code, outcome.attempts, outcome.batch_id)
