"""The report of a job: one page for people, that opens from a download.

Rule: the page loads nothing, runs nothing and obeys nothing of what it shows; equal facts give equal bytes, below
REPORT_BYTES_MAX however many items there were.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Final

from batchdrop.core.advice import meaning
from batchdrop.core.jobs import NO_TASK
from batchdrop.core.ledger_rows import Job, Shard
from batchdrop.core.limits import DAY, HOUR, MINUTE
from batchdrop.core.markup import Html, cut, element, joined, void
from batchdrop.core.receipt import Line, Receipt
from batchdrop.core.receipt_text import KINDS, money, parts, places_of, rate, sums, unknown_words
from batchdrop.core.report_charts import bar, curve, histogram, seconds_in_words
from batchdrop.core.report_facts import Example, Facts, Shown, Text
from batchdrop.core.report_style import POLICY, STYLE
from batchdrop.core.summary import FailureCount, Results
from batchdrop.core.wording import iso_time

CONTENT_TYPE: Final = "text/html; charset=utf-8"
# What the limits on facts come to, with each character at its longest escape; a usual report has 60 KB.
REPORT_BYTES_MAX: Final = 4_000_000
_KEY_CHARS_MAX: Final = 300
_NAME_CHARS_MAX: Final = 200
_LINES_MAX: Final = 60  # of the receipt; the summary has all

# https://developers.openai.com/api/docs/guides/batch (2026-09-26): a batch has 24 hours.
_DURATIONS: Final = (10 * MINUTE, 30 * MINUTE, HOUR, 2 * HOUR, 4 * HOUR, 8 * HOUR, 16 * HOUR, DAY)


def report_document(job: Job, shards: Sequence[Shard], results: Results, facts: Facts) -> bytes:
    """Return `report.html`: what became of *job*, with examples of its records and answers."""
    file = cut(job.key.removeprefix("inbox/"), _KEY_CHARS_MAX)
    head = element(
        "head",
        void("meta", charset="utf-8"),
        void("meta", http_equiv="Content-Security-Policy", content=POLICY),
        void("meta", name="referrer", content="no-referrer"),
        void("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", f"{file}: report"),
        Html(f"<style>{STYLE}</style>"),
    )
    body = element("body", element("main", *_sections(file, job, shards, results, facts)))
    page = f'<!doctype html>\n<html lang="en">\n{head.text}\n{body.text}\n</html>\n'
    return page.encode("utf-8", "replace")


def _sections(file: str, job: Job, shards: Sequence[Shard], results: Results, facts: Facts) -> Iterator[Html | None]:
    yield _header(file, job, shards, results)
    yield _figures(results, facts)
    yield _progress(job, shards, results, facts)
    yield _failures(results, facts.examples)
    yield _cost(results.receipt) if results.receipt else None
    yield _distributions(shards, facts)
    yield _answers(facts.first, results.items)
    yield _files(results)
    yield element(
        "footer",
        element("p", "This page holds records and answers: keep it where they may be seen."),
        element("p", "It needs no network. All items are in outcomes.jsonl, all figures in summary.json beside it."),
        class_="quiet small",
    )


def _section(title: str, *children: Html | str | None) -> Html:
    return element("section", element("h2", title), *children)


def _header(file: str, job: Job, shards: Sequence[Shard], results: Results) -> Html:
    if job.cancelled_at:
        state, kind = "cancelled", "bad"
    elif results.failed:
        state, kind = "completed with failures", "partly"
    else:
        state, kind = "completed", None
    ended = _ended_at(shards)
    times = f"Dropped {_when(job.created_at)}"
    if ended:
        times += f", last batch ended {_when(ended)}, {seconds_in_words(ended - job.created_at)} later"
    task = "" if job.task == NO_TASK else f"Task {cut(job.task, _NAME_CHARS_MAX)} · "
    return element(
        "header",
        element("span", state, class_=f"state {kind}" if kind else "state"),
        element("h1", file, dir="auto"),
        element("p", f"{times}.", class_="quiet"),
        element("p", f"{task}Job ", element("code", job.id), class_="quiet small"),
        _unreadable(results),
    )


def _unreadable(results: Results) -> Html | None:
    if results.unreadable is None:
        return None
    return element(
        "p", f"The upload could not be read any more: {cut(results.unreadable.message, 600)}", class_="failure"
    )


def _figures(results: Results, facts: Facts) -> Html:
    taken = sum(usage.input_tokens for usage in results.usage.values())
    given = sum(usage.output_tokens for usage in results.usage.values())
    figures = [
        ("items", f"{results.items:,}"),
        ("succeeded", f"{results.succeeded:,}"),
        ("failed", f"{results.failed:,}"),
    ]
    figures += [("tokens in", _short(taken)), ("tokens out", _short(given))]
    if results.receipt is not None:
        figures.append(("US dollars", _total(results.receipt)))
    cards = [element("div", element("b", figure), element("span", label, class_="quiet small"), class_="card")
             for label, figure in figures]  # fmt: skip
    ends = sorted(facts.ends.items(), key=lambda entry: (-entry[1], entry[0]))
    ways = ", ".join(f"{cut(end, 64)} {count:,}" for end, count in ends)
    told = element("p", f"How answers ended: {ways}.", class_="quiet small") if ways else None
    return joined(element("div", *cards, class_="figures"), told)


def _short(count: int) -> str:
    """Return a count in three or four digits."""
    for size, unit in ((10**9, "G"), (10**6, "M"), (10**4, "k")):
        if count >= size:
            return f"{count / (1_000 if unit == 'k' else size):.1f} {unit}"
    return f"{count:,}"


def _total(receipt: Receipt) -> str:
    if receipt.total_dollars is None:
        return "unknown"
    return money(receipt.total_dollars, _places_in_brief(receipt.total_dollars)) + (" + ?" if receipt.unknown else "")


def _places_in_brief(dollars: Decimal) -> int:
    """Return enough decimal places for a glance; the receipt has the others."""
    return next((places for least, places in ((1, 2), (Decimal("0.01"), 4)) if dollars >= least), 6)


def _progress(job: Job, shards: Sequence[Shard], results: Results, facts: Facts) -> Html | None:
    """Return how many items had their outcome, by the time at which their shard ended."""
    ends = sorted(
        (shard.batch_ended_at, facts.items_by_shard[shard.number]) for shard in shards if shard.batch_ended_at
    )
    if not ends:
        return None
    points, done = [(0, facts.items_elsewhere)], facts.items_elsewhere
    for ended_at, items in ends:
        done += items
        points.append((ended_at - job.created_at, done))
    batches = f"{len(ends):,} batch{'es' if len(ends) > 1 else ''}"
    return _section("Progress", element("div", curve(points, results.items), class_="card"), element(
        "p", f"Items with an outcome, by the time at which their batch ended: {batches}.", class_="quiet small",
    ))  # fmt: skip


def _failures(results: Results, examples: Mapping[str, Sequence[Example]]) -> Html | None:
    if not results.failures:
        return None
    return _section(
        "What failed",
        *(_reason(failure, results.failed, examples.get(failure.code, ())) for failure in results.failures),
    )


def _reason(failure: FailureCount, failed: int, examples: Iterable[Example]) -> Html:
    shown = [
        element("li", element("b", cut(example.name, _NAME_CHARS_MAX), dir="auto"), f" (row {example.row:,}): ",
                element("span", example.message, dir="auto"))
        for example in examples
    ]  # fmt: skip
    rest = failure.count - len(shown)
    more = element("li", f"and {rest:,} more", class_="quiet") if rest > 0 else None
    header = element(
        "header",
        element("h3", element("code", failure.code)),
        element("span", f"{failure.count:,} of {failed:,}", class_="quiet"),
        element("span", meaning(failure.code), class_="quiet small") if meaning(failure.code) else None,
    )
    share = element("div", bar(failure.count, failed, is_bad=True), class_="share")
    return element("article", header, share, element("ul", *shown, more), class_="card reason")


def _cost(receipt: Receipt) -> Html:
    places = places_of(receipt.list_dollars)
    lines = receipt.lines[:_LINES_MAX]
    heads = element("tr", element("th", "model and kind"), *(
        element("th", title, class_="number") for title in ("tokens", "list price", "list", "batch")
    ))  # fmt: skip
    *above, (label, amount) = sums(receipt)
    foot = [
        *(_sum_row(*row) for row in above),
        _sum_row(label, amount, class_="total"),
        *(_sum_row(*row) for row in parts(receipt)),
    ]
    table = element(
        "table", element("thead", heads), element("tbody", *(_cost_row(line, places) for line in lines)),
        element("tfoot", *foot), class_="stacked",
    )  # fmt: skip
    left_out = len(receipt.lines) - len(lines)
    unknown = [element("li", unknown_words(one)) for one in receipt.unknown[:_LINES_MAX]]
    return _section(
        "Receipt",
        element(
            "div",
            element("p", "Number ", element("code", receipt.number), class_="small quiet"),
            table if lines else element("p", "No tokens were counted."),
            element("p", f"and {left_out:,} more lines, which are in summary.json") if left_out else None,
            element("p", "Unknown, and not in the total:") if unknown else None,
            element("ul", *unknown) if unknown else None,
            class_="card",
        ),
        element(
            "p", "At list prices, from what the provider counted; its own bill is what counts.", class_="quiet small"
        ),
    )


def _cost_row(line: Line, places: int) -> Html:
    kind = element("span", KINDS[line.kind], class_="kind sub")
    return element(
        "tr",
        element("td", element("span", line.model), kind),
        element("td", f"{line.tokens:,}", class_="number"),
        element("td", rate(line).removeprefix("at "), class_="number sub"),
        element("td", money(line.list_dollars, places), class_="number spare"),
        element("td", money(line.dollars, places), class_="number"),
    )


def _sum_row(label: str, amount: str, class_: str | None = None) -> Html:
    return element("tr", element("td", label, colspan=4), element("td", amount, class_="number"), class_=class_)


def _distributions(shards: Sequence[Shard], facts: Facts) -> Html | None:
    """Return how long answers are, and how long batches took."""
    charts = [chart for chart in (_lengths(facts), _durations(shards)) if chart is not None]
    return _section("How long", element("div", *charts, class_="pair")) if charts else None


def _lengths(facts: Facts) -> Html | None:
    if not facts.lengths:
        return None
    count = facts.lengths.total()
    bits = range(min(facts.lengths), max(facts.lengths) + 1)
    rows = [(f"{2 ** (bit - 1):,} to {2**bit - 1:,}" if bit > 1 else "1", facts.lengths[bit]) for bit in bits]
    mean = Decimal(facts.output_tokens) / count
    words = f"Mean {mean:,.1f}, longest {facts.longest_tokens:,}."
    return element("div", element("h3", "Answers, in output tokens"), histogram(rows),
                   element("p", words, class_="quiet small"), class_="card")  # fmt: skip


def _durations(shards: Sequence[Shard]) -> Html | None:
    taken = [shard.batch_ended_at - shard.intent_at for shard in shards if shard.batch_ended_at > shard.intent_at > 0]
    if not taken:
        return None
    counts = Counter(bisect_right(_DURATIONS, seconds) for seconds in taken)
    edges = [seconds_in_words(edge) for edge in _DURATIONS]
    labels = [f"under {edges[0]}", *map("{} to {}".format, edges, edges[1:]), f"{edges[-1]} and more"]
    rows = [(label, counts[number]) for number, label in enumerate(labels)]
    used = [number for number, (_, count) in enumerate(rows) if count]
    mean = seconds_in_words(sum(taken) // len(taken))
    words = f"From the create to the end; of items that were sent again, the last. Mean {mean}."
    return element("div", element("h3", "Batches"), histogram(rows[used[0] : used[-1] + 1]),
                   element("p", words, class_="quiet small"), class_="card")  # fmt: skip


def _answers(first: Sequence[Shown], items: int) -> Html | None:
    if not first:
        return None
    title = f"The first {len(first):,} of {items:,} items" if items > len(first) else "All items"
    return _section(title, *map(_answer, first))


def _answer(shown: Shown) -> Html:
    columns = [joined(element("p", name, class_="label", dir="auto") if name else None, _text(value))
               for name, value in shown.record]  # fmt: skip
    if shown.columns_left_out:
        columns.append(element("p", f"and {shown.columns_left_out:,} more columns", class_="quiet small"))
    answer = element("p", shown.failure, class_="text failure", dir="auto") if shown.failure else _text(shown.answer)
    return element(
        "article",
        element(
            "header",
            element("h3", cut(shown.name, _NAME_CHARS_MAX), dir="auto"),
            element("span", f"row {shown.row:,}", class_="quiet small"),
            element("span", cut(shown.finish, 64), class_="quiet small") if shown.finish not in (None, "stop") else None,
        ),
        element(
            "div",
            element("div", *columns or [element("p", "The record cannot be read.", class_="quiet")]),
            element("div", element("p", "failed" if shown.failure else "answer", class_="label"), answer),
            class_="sides",
        ),
        class_="card answer",
    )  # fmt: skip


def _text(value: Text) -> Html:
    left_out = element("span", f"… ({value.left_out:,} more characters)", class_="quiet") if value.left_out else None
    return element("p", value.text, left_out, class_="text", dir="auto")


def _files(results: Results) -> Html:
    rows = [
        element("tr", element("td", element("a", file.name, href=file.name)),
                element("td", f"{file.size_bytes:,} bytes", class_="number"),
                element("td", element("code", file.sha256[:16]), class_="spare"))
        for file in results.files
    ]  # fmt: skip
    head = element("tr", element("th", "file"), element("th", "size", class_="number"), element("th", "SHA-256 begins"))
    table = element("table", element("thead", head), element("tbody", *rows), class_="stacked")
    return _section("Files beside this page", element("div", table, class_="card"))


def _when(seconds: int) -> str:
    return (iso_time(seconds) or "never").replace("T", " ").replace("Z", " UTC")


def _ended_at(shards: Iterable[Shard]) -> int:
    return max((shard.batch_ended_at for shard in shards), default=0)
