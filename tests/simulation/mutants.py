"""Small changes to the production code that must not survive: each removes one rule, and some run shows what it was for."""

from fakes import memory
from simulation import mutations as as_if
from simulation.mutant import Mutant, mutant
from simulation.refused_mutants import REFUSED_MUTANTS

from batchdrop.core.admission import quota
from batchdrop.core.model.job import Job
from batchdrop.core.model.shard import Shard
from batchdrop.core.submission import shard_lifecycle as lifecycle
from batchdrop.edge.openai.provider import OpenAIProvider
from batchdrop.flow import complete, poll, submit
from batchdrop.flow.admission import admit
from batchdrop.flow.collection import answer_index, archive
from batchdrop.flow.collection import collect as harvest
from batchdrop.flow.delivery import merge
from batchdrop.flow.operations import missed_uploads as reconcile
from batchdrop.flow.submission import circuit_breaker as key
from batchdrop.flow.submission import create, observe

_replaced = as_if.replaced

_CREATE = "http-POST-batches"

# fmt: off
MUTANTS: tuple[Mutant, ...] = (
    # Create once.
    mutant("the intent is not written", {17}, "small",
        _replaced(create, "intend_create", as_if.without_intent)),
    mutant("the SDK repeats a create", {1, 3}, "small http-POST-batches:0=error_after", as_if.sdk_retries),
    mutant("an uncertain create counts as refused", {1, 3}, "small http-POST-batches:0=error_after",
        _replaced(create, "_record", as_if.uncertain_as_refused)),
    mutant("an uncertain create fails its items", {4}, "small http-POST-batches:0=error_before",
        _replaced(create, "_record", as_if.uncertain_as_failed)),
    mutant("nothing is fenced", {1, 3}, "small http-POST-batches:0=late seed=4",
        _replaced(OpenAIProvider, "delete_file", as_if.nothing)),
    mutant("the fence is not waited for", {1, 3}, "small http-POST-batches:0=late seed=32",
        as_if.limits_of(fence_wait_seconds=0)),
    mutant("a list of any age proves", {1, 3}, "small http-POST-batches:0=late seed=64",
        _replaced(observe, "sweep", as_if.list_of_any_age)),
    mutant("any key speaks for any project", {1, 3}, "foreign_key http-POST-batches:0=error_after",
        _replaced(key, "_is_proved", as_if.anything_proves)),
    mutant("an answer to an earlier try is obeyed", {1, 3, 4, 14},
        f"small {_CREATE}:0=turned_away ledger.write:5=slow_before {_CREATE}:1=late seed=663",
        _replaced(lifecycle, "_check_ticket", as_if.nothing)),
    mutant("a 404 proves that a fresh file is gone", {1, 3}, f"small {_CREATE}:0=late seed=87",
        as_if.limits_of(file_visible_seconds_max=0)),
    mutant("old drops are started by anybody", {1}, "emptied",
        _replaced(reconcile, "may_be_started", as_if.anything_proves), _replaced(submit, "_check_upload", as_if.nothing)),
    # The ledger.
    mutant("shards are written unconditionally", {1, 3, 10, 12}, "small http-POST-batches:0=slow_after",
        _replaced(memory, "is_as_read", as_if.unconditional(Shard))),
    mutant("jobs are written unconditionally", {4, 10, 12, 14}, "small",
        _replaced(memory, "is_as_read", as_if.unconditional(Job))),
    mutant("quota is released twice", {10}, "small", _replaced(memory, "quota_moves", as_if.released_twice)),
    mutant("an ended batch keeps its quota", {10}, "small", _replaced(lifecycle, "_to_harvest", as_if.quota_kept)),
    mutant("quota has no limit", {11}, "shards",
        _replaced(quota, "token_limit", as_if.limitless), _replaced(admit, "token_limit", as_if.limitless)),
    mutant("a second event begins the job anew", {1, 12, 20}, "small",
        _replaced(submit, "handle_upload", as_if.job_overwritten)),
    mutant("a running shard is never due", {13}, "small", as_if.event("BatchFound", as_if.never_due)),
    # Answers.
    mutant("what is missing is given up at once", {4}, "late_output",
        _replaced(harvest, "missing_verdict", as_if.missing_given_up)),
    mutant("what is missing is sent again", {2}, "lines",
        _replaced(harvest, "missing_verdict", as_if.missing_sent_again)),
    mutant("a cut download is archived as it is", {4}, "small http-GET-content:0=partial",
        _replaced(OpenAIProvider, "download", as_if.cut_is_whole),
        _replaced(archive, "answers_outstanding", as_if.nothing)),
    mutant("an expired batch is sent again whole", {1, 23}, "expiry",
        _replaced(harvest, "_fate", as_if.expired_sent_whole)),
    mutant("answers are joined by their place", {5}, "small",
        _replaced(answer_index.AnswerIndex, "take_run", as_if.rows_exchanged)),
    mutant("what attempts decided is joined as text", {4, 14}, "rows_in_order",
        _replaced(harvest, "row_of_outcome", as_if.rows_as_text)),
    mutant("parts are merged as text", {4, 14}, "rows_in_order", _replaced(merge, "row_of_outcome", as_if.rows_as_text)),
    # Results and notifications.
    mutant("what was never sent has no object", {4}, "cancelled",
        _replaced(complete, "deliver_unsent", as_if.nothing_delivered)),
    mutant("the summary is written first", {7}, "small", _replaced(complete, "merge", as_if.summary_first)),
    mutant("the outbox is forgotten", {8}, "small notifications.publish:0=crash_before",
        _replaced(complete, "_notify", as_if.notified_first)),
    mutant("the notification counts otherwise", {9}, "small",
        _replaced(complete, "render", as_if.counts_swapped)),
    mutant("the notification counts otherwise after a crash", {9}, "small notifications.publish:0=crash_before",
        _replaced(complete, "results_of_summary", as_if.summary_misread)),
    mutant("a checksum is of something else", {6}, "small",
        _replaced(merge._Measured, "finished", as_if.merged_wrongly)),  # noqa: SLF001 - what is mutated is private
    mutant("the key is logged", {18}, "small", _replaced(poll, "provider_or_lack", as_if.told)),
    *REFUSED_MUTANTS,
)
# fmt: on
