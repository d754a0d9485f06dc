"""Deletes files at the provider once they are of no more use, so that nothing is left behind.

Rule: files are deleted after the outcomes are recorded, and a failure delays no other work. Only files of a batch of ours, and
input files with a ticket of this installation, are ever deleted, and never a file that a shard still refers to.
"""

from collections.abc import Iterator
from dataclasses import replace

from batchdrop.core.model.batches import Batch, StoredFile
from batchdrop.core.model.errors import KeyRefused, ProviderError, ProviderRefused, ProviderUnavailable
from batchdrop.core.model.install import Asked
from batchdrop.core.model.shard import Shard, ShardState, read_ticket
from batchdrop.flow.ports import Provider
from batchdrop.flow.submission.circuit_breaker import note_refusal, open_provider
from batchdrop.flow.unit_of_work import Work, change_install

INPUT_SUFFIX = ".jsonl"


def tidy_attempt(work: Work, shard: Shard, batch: Batch | None) -> None:
    """Delete the input file of *shard*'s attempt and the output files of its *batch*, which lie in the archive.

    *shard* is the row as it was before its outcomes were recorded. What fails is left: input to `sweep_files`, output to the
    provider's own expiry.
    """
    files = [shard.attempt.file.id, *((batch.output_file, batch.error_file) if batch else ())]
    provider = open_provider(work)
    if provider is None or (provider.base_url, provider.fingerprint) != (shard.base_url, shard.fingerprint):
        return
    for file in filter(None, files):
        try:
            provider.delete_file(file)
        except ProviderError as error:
            work.ports.log.info("file.kept", job_id=shard.job, shard=shard.number, file_id=file, cause=str(error))
            return


def sweep_files(work: Work) -> int:
    """Delete old input files of ours that nothing refers to, if it is time to, and return how many.

    Where there are more than may be deleted at once, the next tick continues. Before the first batch there is nothing to sweep.
    """
    now = work.ports.clock.now()
    if not work.install.proofs or now - work.install.files_swept_at < work.limits.file_sweep_seconds:
        return 0
    provider = open_provider(work)
    if provider is None or not work.may_ask():
        return 0
    deleted = 0
    try:
        for file in _unreferred_files(work, provider, now - work.limits.file_sweep_age_seconds):
            if deleted == work.limits.file_sweep_deletions_max or not work.may_ask():
                return deleted
            provider.delete_file(file.id)
            work.ports.log.info("file.swept", file_id=file.id)
            deleted += 1
    except KeyRefused as error:
        note_refusal(work, provider, error, Asked.LOOK)
    except (ProviderRefused, ProviderUnavailable) as error:
        work.ports.log.warning("provider.unavailable", cause=str(error))
    _keep_swept(work, now)
    return deleted


def _unreferred_files(work: Work, provider: Provider, before: int) -> Iterator[StoredFile]:
    """Yield the input files of this installation that were stored *before* that time and that no shard refers to.

    One without a time that can be read may be new, and about to be referred to.
    All pages are listed first: a list cannot continue after a deleted file.
    """
    old: list[StoredFile] = []
    after: str | None = None
    for _ in range(work.limits.file_sweep_pages_max):
        if not work.may_ask():
            break
        page = provider.list_files(after)
        old += [file for file in page.files if 0 < file.created_at < before]
        after = page.next_after
        if after is None or page.files[-1].created_at >= before:
            break
    for file in old:
        named = read_ticket(file.name.removesuffix(INPUT_SUFFIX))
        if named is None or named.install != work.install.id:
            continue
        shard = work.ports.ledger.shard(named.job, named.shard)
        if shard is None or shard.state is ShardState.DONE or shard.attempt.file.id != file.id:
            yield file


def _keep_swept(work: Work, at: int) -> None:
    change_install(work, lambda install: replace(install, files_swept_at=at))
