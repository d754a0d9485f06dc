"""Stories in which the provider refuses something for good, or loses what it was given: the table of what it may do.

Rule: each says what the provider does on the wire, in words that servers were seen to use; what must come of it is in `rows`.
"""

from typing import Final

from simulation.installation import Installation
from simulation.stories import Happening, Scenario, bodies, dropped, native, reviews, switched, with_task
from simulation.wire import KEYS

from batchdrop.core.model.limits import DAY, HOUR, MINUTE

# Three shards of one job and two of another, all of them at the provider at the same time.
_PLAIN: Final = {"chunk_lines_max": 2, "shard_requests_max": 2}
_DROPS: Final = (
    Happening(-1, with_task),
    dropped("inbox/sentiment/reviews.csv", reviews(6)),
    dropped("inbox/three.jsonl", bodies(3, "b"), 20),
)
_TOO_SHORT: Final = "Invalid value for 'expires_after.seconds': expected a value from 1209600 to 2592000."
# Without a list for good, what became of an uncertain create is never known.
_NO_LIST: Final = frozenset({"submission_unknown"})
_NO_MONEY: Final = "You exceeded your current quota, please check your plan and billing details."


def _lifted(at: float) -> Happening:
    """The provider obeys again."""

    def lift(here: Installation) -> None:
        here.simulator.faults.clear()

    return Happening(at, lift)


def _cancel_all(here: Installation) -> None:
    for upload in here.uploads:
        here.ask(upload, "cancel")


def _hang(here: Installation) -> None:
    here.simulator.faults.switch("hung")


def _many(here: Installation) -> None:
    for number in range(40):
        here.drop(f"inbox/{number}.jsonl", bodies(1, str(number)))


REFUSED_STORIES: tuple[Scenario, ...] = (
    Scenario(name="everyday", happenings=_DROPS, limits=_PLAIN),
    Scenario(name="many", happenings=(Happening(0, _many),), is_long=True),
    Scenario(
        # Nothing is ever listed: each batch has to be asked for by its id.
        name="unlisted", happenings=(*_DROPS, switched("list_lags", value=300 * DAY)),
        limits=_PLAIN | {"retrieves_per_tick_max": 2, "retrieve_interval_seconds": 5 * MINUTE},
    ),
    Scenario(
        # Batches would run for most of their window.
        name="halted",
        happenings=(*_DROPS, Happening(70, _cancel_all)),
        limits=_PLAIN, behaviour={"run_seconds": 20 * HOUR}, failures=frozenset({"cancelled", "batch_cancelled"}),
    ),
    Scenario(
        name="upload_refused", is_long=True,
happenings=(*_DROPS, switched("refused", operation="files.create", value=400, code="invalid_value", message=_TOO_SHORT)),
        limits=_PLAIN, failures=frozenset({"invalid_value"}),
    ),
    Scenario(
        name="upload_too_large",
        happenings=(
            Happening(-1, with_task), dropped("inbox/sentiment/reviews.csv", reviews(6)),
            switched("file_too_large", value=450, form="html", message="413 Request Entity Too Large"),
        ),
        limits={"chunk_lines_max": 4, "shard_requests_max": 4},
    ),
    Scenario(
        name="upload_too_large_400", is_long=True,
happenings=(
            Happening(-1, with_task), dropped("inbox/sentiment/reviews.csv", reviews(6)),
            switched("file_too_large", value=450, status=400, message="File is too large"),
        ),
        limits={"chunk_lines_max": 4, "shard_requests_max": 4},
    ),
    Scenario(
        name="line_too_large", is_long=True,
happenings=(*_DROPS, switched("file_too_large", value=50, code="file_too_large", message="File is too large")),
        limits=_PLAIN, failures=frozenset({"file_too_large"}),
    ),
    Scenario(
        name="no_batches", is_long=True,
happenings=(
            *_DROPS, switched("refused", operation="batches.create", value=404, form="detail", message="Not Found"),
        ),
        limits=_PLAIN, failures=frozenset({"http_404"}),
    ),
    Scenario(
        name="no_list",
        happenings=(
            *_DROPS, switched("refused", operation="batches.list", value=405, form="detail", message="Method Not Allowed"),
        ),
        limits=_PLAIN | {"retrieves_per_tick_max": 2}, failures=_NO_LIST,
    ),
    Scenario(
        name="broken_list", is_long=True,
happenings=(*_DROPS, switched("refused", operation="batches.list", value=501)),
        limits=_PLAIN | {"retrieves_per_tick_max": 2}, failures=_NO_LIST,
    ),
    Scenario(
        # So many batches that a tick may not ask for them all.
        name="no_list_for_many", is_long=True,
happenings=(
            Happening(0, _many),
            switched("refused", operation="batches.list", value=405, form="detail", message="Method Not Allowed"),
        ),
        limits={"retrieves_per_tick_max": 10}, failures=_NO_LIST,
    ),
    Scenario(
        # One create is done and its answer lost while there is no list to look it up in; two days later there is.
        name="no_list_uncertain", is_long=True,
happenings=(
            *_DROPS, switched("refused", operation="batches.list", value=405, form="detail", message="Method Not Allowed"),
            switched("dropped_after", operation="batches.create", times=1), _lifted(2 * DAY),
        ),
        limits=_PLAIN, calm_after_seconds=2 * DAY, tick_seconds_min=300,
    ),
    Scenario(
        name="vanished", is_long=True,
happenings=(*_DROPS, switched("batch_gone", value=10 * MINUTE, times=2)),
        limits=_PLAIN, behaviour={"run_seconds": 20 * MINUTE}, failures=frozenset({"batch_gone"}), tick_seconds_min=300,
    ),
    Scenario(
        name="never_stops", is_long=True,
happenings=(*_DROPS, switched("never_ends", value=0.5), switched("cancel_ignored")),
        limits=_PLAIN, failures=frozenset({"batch_stuck"}), tick_seconds_min=300,
    ),
    Scenario(
        # A person cancels, which the provider answers and does not do.
        name="unstoppable", is_long=True,
        happenings=(
            *_DROPS, Happening(70, _cancel_all), switched("never_ends", value=0.5), switched("cancel_ignored"),
        ),
        limits=_PLAIN, failures=frozenset({"batch_stuck", "cancelled"}), tick_seconds_min=300,
    ),
    Scenario(
        name="never_answers", is_long=True,
happenings=(*_DROPS, switched("never_ends", value=0), switched("cancel_ignored")),
        limits=_PLAIN, failures=frozenset({"batch_stuck"}), tick_seconds_min=300,
    ),
    Scenario(
        name="answers_refused", is_long=True,
happenings=(
            *_DROPS, switched("refused", operation="files.content", value=400, message="Not allowed to download this file."),
        ),
        limits=_PLAIN, failures=frozenset({"answers_gone"}), tick_seconds_min=300,
    ),
    Scenario(
        name="answers_expired", is_long=True,
happenings=(*_DROPS, switched("refused", operation="files.content", value=410, form="empty")),
        limits=_PLAIN, failures=frozenset({"answers_gone"}), tick_seconds_min=300,
    ),
    Scenario(
        name="pending", happenings=(*_DROPS, switched("file_unprocessed", value=40)), limits=_PLAIN,
    ),
    Scenario(
        name="nothing_ran",
        happenings=(
            *_DROPS, switched("fails", times=1), switched("fails", form="null", times=1),
            switched("fails", form="empty", times=1), switched("fails", form="codeless", times=1),
        ),
        limits=_PLAIN,
    ),
    Scenario(
        name="nothing_runs", is_long=True,
happenings=(*_DROPS, switched("fails", form="null")), limits=_PLAIN,
        failures=frozenset({"batch_failed"}),
    ),
    Scenario(
        name="batch_without_money",
        happenings=(*_DROPS, switched("fails", code="insufficient_quota", message=_NO_MONEY), _lifted(3 * HOUR)),
        limits=_PLAIN, calm_after_seconds=3 * HOUR,
    ),
    Scenario(
        name="lines_without_money", is_long=True,
happenings=(
            *_DROPS, switched("line_refused", value=1, status=429, code="insufficient_quota", message=_NO_MONEY),
            _lifted(3 * HOUR),
        ),
        limits=_PLAIN, calm_after_seconds=3 * HOUR,
    ),
    Scenario(
        name="model_denied", is_long=True,
happenings=(
            dropped("inbox/mixed.jsonl", native(4)), dropped("inbox/three.jsonl", bodies(3), 20),
            switched(
                "refused", operation="batches.create", value=403, code="model_not_found", model="gpt-4.1",
                message="The model `gpt-4.1` does not exist or you do not have access to it.",
            ),
        ),
        limits=_PLAIN, failures=frozenset({"model_not_found"}),
    ),
    Scenario(
        # Each item takes more than 30 tokens.
        name="limit_of_30k",
        happenings=(
            dropped("inbox/three.jsonl", bodies(3, "long " * 60)),
            switched("queue_full", times=2, message="Enqueued token limit reached: this exceeds the limit of 30K."),
        ),
        limits=_PLAIN,
    ),
    Scenario(
        # The connection is made, and nothing ever comes.
        name="hanging", is_long=True,
        happenings=(
            *_DROPS, Happening(2 * MINUTE, _hang), _lifted(3 * HOUR),
        ),
        limits=_PLAIN, behaviour={"run_seconds": 20 * MINUTE},
        calm_after_seconds=3 * HOUR,
    ),
    Scenario(
        name="many_refused", is_long=True,
happenings=(
            Happening(0, _many), Happening(50, lambda here: here.revoke(KEYS[0])),
            Happening(3 * HOUR, lambda here: here.restore(KEYS[0])),
        ),
        calm_after_seconds=3 * HOUR,
    ),
)  # fmt: skip
