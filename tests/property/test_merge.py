"""Harvest and merge together, against a plain reckoning of what each item deserves."""

import json
from dataclasses import dataclass

from fakes.answered import AnsweredJob, answer_line, chat_request, error_line, json_lines, success
from hypothesis import given, settings
from hypothesis import strategies as st

from batchdrop.core.model.shard import Shard
from batchdrop.flow.delivery.merge import merge

ATTEMPTS_MAX = 3
# What the provider does with one request in one attempt: its line, and what becomes of the item.
FATES = st.sampled_from(["success", "bad", "expired", "error_500", "unlisted", "twice", "both"])
PASSING = {"expired", "error_500", "unlisted"}


@dataclass
class Files:
    """The files of one batch."""

    output: bytes = b""
    errors: bytes = b""
    completed: int = 0

    def add(self, row: int, fate: str) -> None:
        """Write the line or lines that this fate leaves."""
        text = f"answer {row}"
        match fate:
            case "success":
                self.output += success(row, text)
            case "twice":
                self.output += success(row, text) + success(row, "another")
            case "both":
                self.errors += error_line(row, "batch_expired")
                self.output += success(row, text)
            case "bad":
                self.errors += answer_line(row, {"error": {"code": "bad"}}, 400)
            case "expired":
                self.errors += error_line(row, "batch_expired")
            case "error_500":
                self.errors += answer_line(row, {}, 500)
        self.completed += fate in {"success", "twice", "both"}


def drawn_rows(job: AnsweredJob, shard: Shard) -> list[int]:
    """Return the rows that the shard's attempt sends."""
    if shard.source_shard is None:
        return [row for row, model in enumerate(models(job), 1) if model == shard.model][
            shard.first_line : shard.end_line
        ]
    lines = job.storage.objects[job.keys.input_lines(shard.number, shard.attempt.number)].splitlines()
    return [int(json.loads(line)["custom_id"]) for line in lines]


def models(job: AnsweredJob) -> list[str]:
    """Return the model that each row asks for, empty for a record that is refused."""
    content, _ = job.storage.uploads[job.upload.key, job.upload.version]
    return [json.loads(line).get("model", "") for line in content.splitlines()]


@settings(max_examples=60, deadline=None)
@given(
    asked=st.lists(st.sampled_from(["model-a", "model-b", ""]), max_size=12),
    cut=st.integers(1, 5),
    draw=st.data(),
)
def test_each_item_ends_as_exactly_what_it_deserves(asked: list[str], cut: int, draw: st.DataObject) -> None:
    """Over any mix of models, shards, attempts and answers, each row has one outcome, in order, and it is the right one."""
    records = [chat_request(f"Q{row}", model) if model else {"x": row} for row, model in enumerate(asked, 1)]
    job = AnsweredJob("inbox/a.jsonl", json_lines(records))
    expected = ["refused" if not model else "" for model in asked]

    shards: list[Shard] = []
    for group, of_group in enumerate(job.job.groups):
        for first in range(0, of_group.lines, cut):
            shard = job.shard(len(shards) + 1, group, (first, min(first + cut, of_group.lines)))
            shards.append(run(job, shard, expected, draw))
    results = merge(job.ports, job.planned, shards)

    outcomes = job.outcomes()
    assert [outcome.row for outcome in outcomes] == list(range(1, len(asked) + 1))
    assert [fate_of(job, outcome.row) for outcome in outcomes] == expected
    assert results.succeeded == expected.count("success")
    assert len(job.items()) == len(asked)
    assert {outcome.name: outcome for outcome in outcomes} == job.items()


def run(job: AnsweredJob, shard: Shard, expected: list[str], draw: st.DataObject) -> Shard:
    """Run a shard to its end, with drawn answers, noting what each item deserves; return it as it ended."""
    while True:
        files = Files()
        again = 0
        for row in draw.draw(st.permutations(drawn_rows(job, shard))):
            fate = draw.draw(FATES)
            files.add(row, fate)
            again += fate in PASSING
            expected[row - 1] = "success" if fate in {"success", "twice", "both"} else "failed"
        harvest = job.harvest(
            shard, files.output or None, files.errors, status="expired", counts=(shard.items, files.completed, 0)
        )
        assert (harvest.missing, harvest.again_lines) == (0, again if shard.attempt.number < ATTEMPTS_MAX else 0)
        if not harvest.again_lines:
            return shard
        shard = job.next_attempt(shard, harvest)


def fate_of(job: AnsweredJob, row: int) -> str:
    """Return what the merged outcome of *row* says, its answer checked to be its own."""
    outcome = job.outcomes()[row - 1]
    if outcome.error is None:
        assert json.loads(bytes(outcome.output)) == f"answer {row}"
        return "success"
    return "failed" if outcome.attempts else "refused"
