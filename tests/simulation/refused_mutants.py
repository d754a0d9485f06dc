"""Mutants of the rules about what a provider refuses for good: one at least for each row of the table."""

from simulation import refused_mutations as as_if
from simulation.mutant import Mutant, mutant, mutant_of_row
from simulation.mutations import limits_of, nothing, replaced

from batchdrop.core.collection import unanswered as reconciliation
from batchdrop.core.submission import batch_signals as observing
from batchdrop.flow import complete
from batchdrop.flow.collection import collect as harvest
from batchdrop.flow.notification import waits as waiting
from batchdrop.flow.operations import wake
from batchdrop.flow.submission import create, observe, refused, watch

_FOREVER = 10**9
_DENIED = "everyday http-POST-files:0=denied for-good"

# fmt: off
REFUSED_MUTANTS: tuple[Mutant, ...] = (
    # Uploads and creates.
    mutant("a refusal is not said", {24}, _DENIED, replaced(waiting, "waits_for_refused", as_if.unsaid)),
    mutant("all that is refused is tried again at once", {24}, "many http-POST-files:0=denied for-good",
        limits_of(refused_try_seconds=60, refused_tries_max=_FOREVER, refused_retries_per_tick_max=_FOREVER)),
    mutant_of_row("what is refused is never given up", "no_batches", limits_of(refused_seconds_max=_FOREVER)),
    mutant_of_row("what is too large is not split", "upload_too_large", replaced(observing, "is_too_large", as_if.never)),
    mutant_of_row("what was uploaded for nothing stays", "no_batches", replaced(refused, "_discard", nothing)),
    mutant("a file is not waited for after a refusal", {4}, "everyday http-POST-files:0=denied seed=13",
        replaced(observing, "_was_missing", lambda _original: lambda shard: shard.refusal is not None)),
    mutant_of_row("a pending file fails its items at once", "pending", replaced(observing, "names_input", as_if.never)),
    mutant_of_row("a create that was never sent is uncertain", "everyday http-POST-batches:0=unreachable",
        replaced(create, "_record", as_if.unsent_as_uncertain)),
    mutant_of_row("a model's refusal is the key's", "model_denied", replaced(create, "_record", as_if.about_the_key)),
    mutant_of_row("a limit is its first digits", "limit_of_30k", replaced(observing, "stated_limit", as_if.first_digits)),
    # The list, and batches.
    mutant("without a list nothing is looked up", {24}, "everyday http-GET-batches:0=405 for-good",
        replaced(observe, "_may_look_up", as_if.never)),
    mutant_of_row("without a list all is looked up at once", "no_list_for_many", limits_of(retrieves_per_tick_max=_FOREVER)),
    mutant_of_row("calls that hang are waited for", "hanging", limits_of(tick_calls_seconds=_FOREVER)),
    mutant_of_row("an outage is said again and again", "outage", replaced(waiting, "told_of", as_if.forgotten)),
    mutant_of_row("a vanished batch is sent again", "vanished", replaced(watch, "_seek_gone", as_if.sent_again)),
    mutant_of_row("a vanished batch is looked for for ever", "vanished", limits_of(gone_seconds_max=_FOREVER)),
    mutant_of_row("a batch that never ends is waited for for ever", "never_stops", limits_of(hopeless_seconds=_FOREVER)),
    mutant_of_row("what may still run is sent again", "never_stops", replaced(harvest, "left_running", as_if.ending)),
    mutant_of_row("a cancel is asked each minute", "unstoppable", limits_of(cancel_retry_seconds=60)),
    # What failed is tried again by a few for all.
    mutant("what is not answered is all asked again", {24}, "many http-GET-content:0=denied for-good",
        limits_of(retried_per_tick_max=_FOREVER)),
    mutant("an uncertain create is no failed call", {24}, "many http-POST-batches:0=broken for-good",
        replaced(wake, "is_retried", as_if.only_unanswered)),
    # Batches that failed, and answers.
    mutant_of_row("a server's own failure is final", "nothing_ran",
        replaced(reconciliation, "_is_nobodys_fault", as_if.never)),
    mutant_of_row("a failed batch says nothing", "nothing_runs", replaced(reconciliation, "_refusal", as_if.wordless)),
    mutant_of_row("a batch without money is an attempt", "batch_without_money",
        replaced(observing, "is_money_code", as_if.never), replaced(harvest, "is_unpaid", as_if.never)),
    mutant_of_row("lines without money are an attempt", "lines_without_money",
        replaced(harvest, "is_unpaid", as_if.never)),
    mutant_of_row("a refused download is an outage", "answers_refused",
        replaced(complete, "_wait_for_gone", as_if.asked_each_minute)),
)
# fmt: on
