"""Looking at a file before it is dropped, and cutting the first of its records for a trial."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from fakes.drops import job_of, planned, refused_outcomes, sent_lines
from fakes.memory import MemoryStorage
from hypothesis import given, settings
from hypothesis import strategies as st

from batchdrop.core.model.limits import Limits
from batchdrop_cli.jobs.check import REFUSALS_SHOWN_MAX, check_file
from batchdrop_cli.jobs.first import cut_first
from batchdrop_cli.main import main

OPENAI = "https://api.openai.com/v1"
TASK = (
    b"endpoint: /v1/chat/completions\n"
    b"body: {model: gpt-4.1-mini, max_tokens: 7, messages: [{role: user, content: '{{ review }}'}]}\nid: review_id\n"
)
GOOD = "review_id,review\nr1,good\nr2,bad\n"
BAD = "review_id,review\nr1,good\nr1,again\n,nobody\nr4,fine\n"


@pytest.fixture
def check(tmp_path: Path) -> Callable[..., Result]:
    """Run `batchdrop check` on a file of this content, with or without the task."""

    def run(name: str, content: str, *options: str, task: bytes | None = TASK) -> Result:
        (tmp_path / "sentiment.yaml").write_bytes(task or b"")
        (tmp_path / name).write_text(content)
        named = "-" if task is None else str(tmp_path / "sentiment.yaml")
        return CliRunner().invoke(main, ["check", named, str(tmp_path / name), *options])

    return run


def test_a_good_file_shows_what_would_be_sent(check: Callable[..., Result]) -> None:
    """The first requests as they would go, tokens and half the list price; no stack is needed."""
    result = check("reviews.csv", GOOD)

    lines = [json.loads(line) for line in result.stdout.splitlines() if line.startswith("{")]
    assert result.exit_code == 0
    assert "2 records: 2 would be sent, 0 refused." in result.stdout
    assert [line["body"]["messages"][0]["content"] for line in lines] == ["good", "bad"]
    assert [line["custom_id"] for line in lines] == ["1", "2"]
    assert "gpt-4.1-mini" in result.stdout
    assert "Nothing was sent." in result.stdout


def test_a_task_that_sends_once_what_repeats_may_cost_less(check: Callable[..., Result]) -> None:
    """The estimate counts every record, and says so; other tasks have nothing to say."""
    told = [check("reviews.csv", GOOD, task=task).stdout for task in (TASK + b"dedupe: true\n", TASK)]

    assert ["so it may cost less" in text for text in told] == [True, False]


def test_a_file_with_refused_records_says_which_and_why(check: Callable[..., Result]) -> None:
    """The exit code is 1, and the good records are counted all the same."""
    result = check("reviews.csv", BAD)

    assert result.exit_code == 1
    assert "4 records: 2 would be sent, 2 refused." in result.stdout
    for said in ("duplicate_id: 1", "no_id: 1", "record 2 (000000002~duplicate)", "record 3 (000000003~no-id)"):
        assert said in result.stdout


@pytest.mark.parametrize(
    ("name", "content", "task", "said"),
    [
        ("reviews.csv", "review_id,text\nr1,x\n", TASK, "review"),
        ("reviews.csv", GOOD, b"endpoint: [", "line 1"),
        ("reviews.csv", GOOD, None, "needs a task"),
        ("reviews.xlsx", "PK", TASK, ".xlsx"),
    ],
)
def test_a_file_that_would_be_rejected_is_told_why(
    check: Callable[..., Result], name: str, content: str, task: bytes | None, said: str
) -> None:
    """In the words of the notification that the drop would have had."""
    result = check(name, content, task=task)

    assert result.exit_code == 1
    assert said in result.stderr
    assert "Traceback" not in result.output


def test_a_price_that_nobody_knows_is_called_unknown(check: Callable[..., Result]) -> None:
    """Never nothing."""
    result = check("reviews.csv", GOOD, "--base-url", "https://somewhere.example/v1")

    assert result.exit_code == 0
    assert "unknown" in result.stdout


def test_refusals_are_shown_up_to_a_limit(tmp_path: Path) -> None:
    """A million bad records are counted, not printed; nothing of them is kept."""
    path = tmp_path / "reviews.csv"
    path.write_text("review_id,review\n" + "same,x\n" * 1_000)

    checked = check_file(path, "sentiment", TASK, OPENAI)

    assert (checked.items, checked.refused, checked.reasons) == (1_000, 999, {"duplicate_id": 999})
    assert [refusal.row for refusal in checked.first_refusals] == list(range(2, REFUSALS_SHOWN_MAX + 2))


def test_mixed_models_are_estimated_each(tmp_path: Path) -> None:
    """Tokens and requests add up by model, and the first requests are those of the first records."""
    path = tmp_path / "mixed.jsonl"
    models = ["gpt-4.1", "gpt-4.1-mini", "gpt-4.1"]
    path.write_text(
        "\n".join(json.dumps({"model": model, "messages": [{"role": "user", "content": "x"}]}) for model in models)
    )

    checked = check_file(path, "-", None, OPENAI)

    assert [(quote.model, quote.requests) for quote in checked.quotes] == [("gpt-4.1", 2), ("gpt-4.1-mini", 1)]
    assert [json.loads(line)["body"]["model"] for line in checked.first_requests] == models
    assert all(quote.dollars for quote in checked.quotes)


@settings(max_examples=30)
@given(cells=st.lists(st.tuples(st.sampled_from(["a", "b", "c", ""]), st.text('xy ,"\n', max_size=5)), max_size=30))
def test_what_is_checked_is_what_would_be_planned(
    tmp_path_factory: pytest.TempPathFactory, cells: list[tuple[str, str]]
) -> None:
    """The check counts and shows what the stack's planning writes."""
    quoted = ['"' + text.replace('"', '""') + '"' for _, text in cells]
    rows = [f"{name},{text}\r\n" for (name, _), text in zip(cells, quoted, strict=True)]
    content = ("review_id,review\r\n" + "".join(rows)).encode()
    path = tmp_path_factory.mktemp("check") / "reviews.csv"
    path.write_bytes(content)
    storage = MemoryStorage()

    checked = check_file(path, "sentiment", TASK, OPENAI)

    job = planned(storage, job_of(storage, "inbox/sentiment/reviews.csv", content, TASK), Limits())
    sent = [line.rstrip(b"\n") for line in sent_lines(storage, job)]
    refused = [(outcome.row, outcome.error) for outcome in refused_outcomes(storage, job)]
    assert (checked.items, checked.refused) == (job.items, len(refused))
    assert checked.first_requests == sent[: len(checked.first_requests)]
    assert [(refusal.row, refusal.failure) for refusal in checked.first_refusals] == refused[:REFUSALS_SHOWN_MAX]
    assert sum(quote.requests for quote in checked.quotes) == len(sent)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("r.csv", b'\xef\xbb\xbfa,b\r\n1,"x\ny"\r\n2,z\r\n3,w\r\n', b'\xef\xbb\xbfa,b\r\n1,"x\ny"\r\n2,z\r\n'),
        ("r.jsonl", b'{"a": 1}\n\n{"a": 2}\n{"a": 3}\n', b'{"a": 1}\n{"a": 2}\n'),
        ("r.ndjson", b'{"a": 1}\n{"a": 2}', b'{"a": 1}\n{"a": 2}'),
    ],
)
def test_the_first_records_are_a_file_of_the_same_kind(
    tmp_path: Path, name: str, content: bytes, expected: bytes
) -> None:
    """Cut between records, byte for byte, and named after what it is."""
    (tmp_path / name).write_bytes(content)
    (tmp_path / "cut").mkdir()

    cut = cut_first(tmp_path / name, "t", 2, tmp_path / "cut")

    assert cut.name == f"r.first-2.{name.partition('.')[2]}"
    assert cut.read_bytes() == expected


@pytest.mark.parametrize("count", [1, 2, 5])
def test_the_first_of_an_array_is_an_array(tmp_path: Path, count: int) -> None:
    """A file of fewer records is taken whole."""
    values = [{"model": "m", "n": number} for number in range(3)]
    path = tmp_path / "r.json"
    path.write_text(json.dumps(values, indent=1))
    (tmp_path / "cut").mkdir()

    cut = cut_first(path, None, count, tmp_path / "cut")

    assert json.loads(cut.read_bytes()) == values[:count]
