"""The report of a job, and its sample in docs/samples. Run this file as a script to write the sample anew."""

import re
from base64 import b64encode
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest
from fakes.answered import AnsweredJob, answer_line, chat_body, chat_job, error_line, success
from fakes.shards import changed, new_shard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from minijinja import TemplateError

from batchdrop.core.delivery.receipt import Line, Receipt, Unknown
from batchdrop.core.delivery.report import REPORT_BYTES_MAX, report_values
from batchdrop.core.delivery.report_charts import POINTS_MAX, curve
from batchdrop.core.delivery.report_facts import ANSWERS_SHOWN_MAX, EXAMPLES_MAX, Facts, open_facts
from batchdrop.core.delivery.report_page import page_of
from batchdrop.core.delivery.summary import REASONS_MAX, Results, Tally
from batchdrop.core.model.job import Job
from batchdrop.core.model.limits import HOUR, MINUTE, Limits
from batchdrop.core.model.outcomes import Failure, Outcome
from batchdrop.core.model.shard import Shard
from batchdrop.core.model.wording import seconds_in_words
from batchdrop.flow.delivery.merge import merge

ROOT = Path(__file__).parents[3]
SAMPLE = ROOT / "docs" / "samples" / "report.html"
REPORT = ROOT / "layers" / "batchdrop" / "batchdrop" / "core" / "delivery"

TASK = b"""
endpoint: /v1/chat/completions
body:
  model: gpt-4.1-mini
  messages:
    - {role: system, content: "Sum the review up in one sentence, in English."}
    - {role: user, content: "{{ review }}"}
id: review_id
"""
REVIEWS = (
    ("Never a dull page.", "The reader was gripped from beginning to end."),
    ("The ferry was late, the coffee was cold, and the view made up for both.", "A poor crossing, saved by its view."),
    ("Ein Buch, das man nicht aus der Hand legt.", "A book that cannot be put down."),
    ("كتاب رائع، أنصح به الجميع.", "A wonderful book, recommended to everyone."),
    ("<b>Bold</b> claims & no evidence; =SUM(A1:A9) says more.", "The reviewer finds the claims unsupported."),
    ("Two hundred pages about knots.\nI wanted three hundred.", "Short, and all the better for wanting more."),
    ("期待していたほどではなかった。", "It fell short of what was expected."),
    ("Fine.", "The reviewer is content."),
)  # fmt: skip
ROWS = 1_200
SHARD_ROWS = 200


class Page(HTMLParser):
    """What a browser sees: elements with attributes, and text."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.style = ""
        self._style = False
        self.feed(content.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._style = tag == "style"

    def handle_endtag(self, tag: str) -> None:
        self._style = self._style and tag != "style"

    def handle_data(self, data: str) -> None:
        if self._style:
            self.style += data
        else:
            self.text += data

    @property
    def tags(self) -> set[str]:
        """The names of the elements."""
        return {tag for tag, _ in self.elements}


def sample_job() -> tuple[AnsweredJob, list[Shard]]:
    """A job of reviews: some are refused at once, some by the provider, some answers are cut, one batch expired."""
    lines = ["review_id,review"]
    for row in range(1, ROWS + 1):
        review = REVIEWS[row % len(REVIEWS)][0].replace('"', '""')
        lines.append("" if row == 77 else f'R-{1_000 + row},"{review}"')
    upload = "\r\n".join(lines).replace("\r\n\r\n", "\r\n,A review without an id.\r\n").encode() + b"\r\n"
    job = AnsweredJob("inbox/summaries/autumn reviews.csv", upload, TASK, Limits(chunk_lines_max=SHARD_ROWS))
    shards = []
    lines_in_all = job.job.groups[0].lines
    for number, first in enumerate(range(0, lines_in_all, SHARD_ROWS), 1):
        end = min(first + SHARD_ROWS, lines_in_all)
        began = job.job.created_at + number * 4 * MINUTE
        shard = changed(
            job.shard(number, lines=(first, end)), base_url="https://api.openai.com/v1", intent_at=began,
            batch_ended_at=began + (number * number * 7 + 11) * MINUTE,
        )  # fmt: skip
        job.harvest(shard, *answers(first, end, is_expired=number == 6), status="completed")
        shards.append(shard)
    return job, shards


def answers(first: int, end: int, *, is_expired: bool) -> tuple[bytes, bytes]:
    """The output and error file of a batch."""
    output, errors = bytearray(), bytearray()
    rows = [row for row in range(1, ROWS + 1) if row != 77][first:end]
    for row in rows:
        if row % 97 == 5:
            body = {
                "error": {
                    "code": "content_policy_violation",
                    "message": "The request was rejected by the safety system.",
                }
            }
            errors += answer_line(row, body, 400)
        elif is_expired and row > ROWS - 8:
            errors += error_line(row, "server_error", "The server had an error while processing the request.")
        else:
            text = REVIEWS[row % len(REVIEWS)][1]
            finish = "length" if row % 300 == 9 else "stop"
            usage = {"prompt_tokens": 31 + row % 40, "completion_tokens": 6 + row * row % 59,
                     "prompt_tokens_details": {"cached_tokens": 16 if row % 5 == 0 else 0}}  # fmt: skip
            output += answer_line(row, chat_body(text, finish) | {"usage": usage})
    return bytes(output), bytes(errors)


@cache
def sample() -> bytes:
    """The report of the sample job."""
    job, shards = sample_job()
    merge(job.ports, job.planned, shards)
    return job.storage.objects[job.keys.report]


JOB = Job(id="0123456789abcdef0123", bucket="inbox", key="inbox/r.csv", version="v1", created_at=1_795_305_600)


def outcome(name: str = "a", output: object = "b", record: object = None, failure: Failure | None = None) -> Outcome:
    """An outcome of one item."""
    return Outcome(
        name=name, row=1, status="failed" if failure else "succeeded", output=msgspec.Raw(msgspec.json.encode(output)),
        record=msgspec.Raw(msgspec.json.encode(record)), error=failure,
    )  # fmt: skip


def report_document(job: Job, shards: Sequence[Shard], results: Results, facts: Facts) -> bytes:
    """The report of these."""
    return page_of(report_values(job, shards, results, facts))


def report(outcomes: Iterable[Outcome], job: Job = JOB, shards: Sequence[Shard] = ()) -> bytes:
    """The report of *outcomes*."""
    facts = open_facts(shards)
    tally = Tally(facts)
    tally.add(list(outcomes))
    return report_document(job, shards, tally.results(()), facts)


def test_the_sample_is_what_is_written() -> None:
    """What a visitor of the repository sees is what a drop brings; and twice the same is the same."""
    assert SAMPLE.read_bytes() == sample()


def test_a_report_says_what_a_person_asks() -> None:
    """How many, when, why some failed and which, what it cost, how long, and what the answers look like."""
    page = Page(sample())

    for said in (
        "completed with failures", "summaries/autumn reviews.csv", "1,200", "1,178", "22",
        "3 h 26 min", "content_policy_violation", "13 of 22", "R-1005", "rejected by the safety system", "and 10 more",
        "the id is missing or empty", "cached input", "$0.10 a million", "Total, US dollars", "longest 63", "Mean 1 h 57 min",
        "The first 20 of 1,200 items", "كتاب رائع، أنصح به الجميع.", "<b>Bold</b> claims & no evidence; =SUM(A1:A9) says more.",
        "Two hundred pages about knots.\nI wanted three hundred.", "outcomes.jsonl",
    ):  # fmt: skip
        assert said in page.text


def test_a_report_loads_and_runs_nothing() -> None:
    """One style sheet that the policy names, links to the files beside it, and nothing that reaches out."""
    page = Page(sample())

    attributes = [(tag, name, value or "") for tag, named in page.elements for name, value in named.items()]
    policies = [named["content"] for tag, named in page.elements if "http-equiv" in named]
    digest = b64encode(sha256(page.style.encode()).digest()).decode()
    assert policies == [
        f"default-src 'none'; base-uri 'none'; form-action 'none'; style-src 'sha256-{digest}'",
    ]
    assert not page.tags & {"script", "link", "img", "iframe", "object", "form", "base"}
    assert {value for _, name, value in attributes if name in {"href", "src"}} == {
        "outcomes.jsonl", "results.csv", "failures.csv",
    }  # fmt: skip
    assert not [name for _, name, _ in attributes if name == "style" or name.startswith("on")]
    assert b"@import" not in sample()
    assert b"url(" not in sample()


HOSTILE = (
    "</script><script>alert(1)</script>",
    "</style><img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "' autofocus onfocus=alert(1) x='",
    "<!-- ]]> --!>",
    "\u202egnp.exe",
    "\u0000\u001b[31m\u2028\u2029\ufeff",
    "&lt;b&gt; &amp;amp; &#60;",
    "=cmd|' /C calc'!A0",
    "{{ record }} ${x} <%= 1 %>",
    "🏳️\u200d🌈 ﷽ Z͑ͫ̓a̴",
)
texts = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=50))


@given(texts, texts, texts, texts, texts)
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
def test_nothing_that_is_shown_is_obeyed(key: str, name: str, column: str, value: str, message: str) -> None:
    """Whatever a file's name, an item, a column, a record, an answer or a provider says, the page has the same elements."""
    job = replace(JOB, key=f"inbox/{key}", task=name)
    plain = [outcome("a", "b", {"x": "y"}), outcome("a", "b", {"x": "y"}, Failure("e", "m"))]
    rough = [
        outcome(name, value, {column or "x": value}),
        outcome(name, value, {column or "x": value}, Failure("e", message)),
    ]

    found = Page(report(rough, job))

    assert [(tag, set(named)) for tag, named in found.elements] == [
        (tag, set(named)) for tag, named in Page(report(plain, replace(JOB, task="t"))).elements
    ]
    assert not {"\u202e", "\u0000", "\u2028"} & set(found.text)


@given(st.text(max_size=200))
def test_what_can_be_seen_is_shown_as_it_is(text: str) -> None:
    """A text of letters, digits, signs and emoji comes out as it went in."""
    printable = "".join(char for char in text if char.isprintable())

    assert printable in Page(report([outcome(output=f"<{printable}>")])).text


def test_only_the_style_sheet_is_taken_as_safe() -> None:
    """The template escapes everything else by default: nothing in it turns that off, and each attribute is in quotes."""
    template = (REPORT / "report.html.j2").read_text()

    assert re.findall(r"\w+\s*\|\s*safe|autoescape|Markup", template) == ["style|safe"]
    assert "={{" not in template


def values() -> dict[str, object]:
    """What a report shows of a job with a batch that ended."""
    shard = new_shard(
        job=JOB.id,
        number=1,
        account="a",
        endpoint="e",
        model="m",
        group=0,
        batch="b",
        batch_ended_at=JOB.created_at + 1,
    )
    facts = open_facts([shard])
    return dict(report_values(JOB, [shard], Tally(facts).results(()), facts))


@pytest.mark.parametrize("name", values())
def test_a_value_that_is_missing_is_an_error(name: str) -> None:
    """The page would otherwise say nothing about it. The error quotes nothing of the job."""
    with pytest.raises(TemplateError, match="undefined") as caught:
        page_of({key: value for key, value in values().items() if key != name})

    assert JOB.key not in str(caught.value)


@pytest.mark.parametrize("value", [None, 1.5, True, ["a"], object()])
def test_what_is_no_text_and_no_whole_number_is_an_error(value: object) -> None:
    """`None` or a float's digits would be a mistake of the template, not a figure."""
    with pytest.raises(TypeError, match="a report does not show"):
        page_of({**values(), "file": value})


def test_a_report_is_small_however_large_the_job() -> None:
    """A million hostile items leave no more behind than the first of them: lists, texts and names have limits."""
    huge = "\U000e0001<" * 40_000
    worst = [
        outcome(
            huge[:200], huge, {f"{number}{huge[:300]}": huge for number in range(40)}, Failure(f"code-{number}", huge)
        )
        for number in range(60)
    ]
    shards = [
        new_shard(job=JOB.id, number=number, account="a", endpoint="e", model="m", group=0, batches=(f"b{number}",),
              intent_at=JOB.created_at + number, batch_ended_at=JOB.created_at + number * 7)
        for number in range(3_000)
    ]  # fmt: skip
    facts = open_facts(shards)
    tally = Tally(facts)
    for number in range(20_000):
        tally.add([worst[number % 60]])

    page = report_document(replace(JOB, key=f"inbox/{huge[:900]}", task=huge[:900]), shards, tally.results(()), facts)

    assert len(page) < REPORT_BYTES_MAX
    assert len(facts.first) == ANSWERS_SHOWN_MAX
    assert len(facts.examples) <= REASONS_MAX + 1
    assert all(len(examples) <= EXAMPLES_MAX for examples in facts.examples.values())


def test_a_record_that_cannot_be_read_has_its_answer() -> None:
    """Numbers and lists are shown as JSON, a record that is no object as it is, one that is missing is said to be."""
    shown = Page(
        report([outcome(output=[1, 2], record="bare text"), outcome(output={"a": 1}), outcome(record={})])
    ).text

    assert "[1,2]" in shown
    assert "bare text" in shown
    assert '{"a":1}' in shown
    assert "The record cannot be read." in shown


def test_a_job_of_nothing_has_a_report() -> None:
    """No item, no batch, no picture; and still a page."""
    page = Page(report([]))

    assert "completed" in page.text
    assert "Progress" not in page.text


def test_a_cancelled_job_says_so() -> None:
    """Its state is not that of a job with failures."""
    job = replace(JOB, cancelled_at=JOB.created_at + HOUR)

    assert Page(report([outcome(failure=Failure("cancelled", "m"))], job)).text.count("cancelled") >= 2


def test_the_receipt_says_what_was_paid_in_vain_and_what_was_saved() -> None:
    """Both stand below the total, which has the one and not the other; where nothing is known nothing is a sum."""
    receipt = Receipt(
        "BD-1", None, None, (Line("m", "input", 0, 5, None, None, None),), failed_items=7, deduplicated_items=9,
        list_dollars=None, discount_dollars=None, total_dollars=None, failed_dollars=None, deduplicated_dollars=None,
        unknown=(Unknown("price", 5, "m"),),
    )  # fmt: skip
    facts = open_facts(())

    page = Page(report_document(JOB, (), replace(Tally(facts).results(()), receipt=receipt), facts))

    assert "although answered: 7" in page.text
    assert "the same as another: 9" in page.text
    assert "$" not in page.text


def test_a_curve_of_thousands_of_steps_is_thinned() -> None:
    """A screen cannot show more; the end is kept."""
    points = [(number, number) for number in range(10_000)]

    drawn = curve(points, 9_999)

    assert drawn.path.count("H") <= POINTS_MAX + 3
    assert drawn.reached[-1] == ("all", "2 h 46 min")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (61, "1 min 1 s"),
        (3_600, "1 h"),
        (5_160, "1 h 26 min"),
        (180_000, "2 d 2 h"),
    ],
)
def test_a_span_of_time_in_words(seconds: int, words: str) -> None:
    """Two units are enough for a person."""
    assert seconds_in_words(seconds) == words


def test_the_report_comes_before_the_summary() -> None:
    """Whoever sees the summary sees everything."""
    job = chat_job(2)
    job.harvest(job.shard(), success(1) + success(2))

    results = merge(job.ports, job.planned, [job.shard()])

    written = list(job.storage.objects)
    assert written.index(job.keys.report) < written.index(job.keys.summary)
    assert results.files[-1].name == "report.html"


if __name__ == "__main__":
    SAMPLE.write_bytes(sample())
