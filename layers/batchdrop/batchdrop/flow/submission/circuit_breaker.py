"""Decides whether the provider may be asked at all (the circuit breaker), and whether this key may speak for a shard.

Rule: what a key of another project sees means nothing. A 404 or an empty list counts only once the key is proved to belong
to the project that the shard's file or batch is in.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from enum import Enum

from batchdrop.core.model.change import Change, Write
from batchdrop.core.model.errors import KeyMissing, KeyRefused, NotAtProvider, ProviderRefused, ProviderSilent
from batchdrop.core.model.install import Asked, Circuit, Hang, Install, circuit_key
from batchdrop.core.model.limits import HOUR, MINUTE
from batchdrop.core.model.reasons import Reason
from batchdrop.core.model.shard import Shard, ShardState
from batchdrop.core.submission.refusals import is_money_code
from batchdrop.core.submission.shard_events import GivenUp
from batchdrop.flow.ports import Provider
from batchdrop.flow.unit_of_work import Work, change_install, keep_shard, move_shard, write


def open_provider(work: Work) -> Provider | None:
    """Return the provider, or None while there is no key."""
    found = provider_or_lack(work)
    return None if isinstance(found, Reason) else found


def provider_or_lack(work: Work) -> Provider | Reason:
    """Return the provider, or why there is no key that could be sent.

    In a tick its calls take no longer than what is left for them.
    """
    try:
        opened = work.ports.providers.open()
        return opened if work.asks_until is None else opened.hurried(work.call_seconds)
    except KeyMissing as error:
        work.ports.log.warning("key.missing", code=error.code)
        return Reason(error.code, str(error))


_AT_PROVIDER = frozenset({ShardState.RUNNING, ShardState.HARVESTING})


class BreakerState(Enum):
    """Whether creates may be made under a key: a breaker that is open stops them."""

    CLOSED = "closed"  # as many as the quota allows
    HALF_OPEN = "half-open"  # the key was refused a while ago: one probe may pass
    OPEN = "open"  # the key was refused just now: none


def upload_state(work: Work, provider: Provider) -> BreakerState:
    """Return whether uploads may be begun now, as far as they are answered in their time."""
    hang = hang_at(work.install, provider)
    return _state_of(work, hang.until if hang else None)


def fetch_state(work: Work, provider: Provider) -> BreakerState:
    """Return whether answers may be fetched now, as far as that is answered in its time."""
    hang = _fetch_hang_at(work.install, provider)
    return _state_of(work, hang.until if hang else None)


def _state_of(work: Work, until: int | None) -> BreakerState:
    """Return the state of a breaker that is open *until* a time; None where nothing opened it."""
    if until is None:
        return BreakerState.CLOSED
    return BreakerState.OPEN if until > work.ports.clock.now() else BreakerState.HALF_OPEN


def breaker_state(work: Work, provider: Provider) -> BreakerState:
    """Return whether creates may be made now; reads are never held back, because answers are paid for already."""
    circuit = _circuit_at(work.install, provider)
    return _state_of(work, circuit.open_until if circuit else None)


def _circuit_at(install: Install, provider: Provider) -> Circuit | None:
    return install.circuits.get(circuit_key(provider.base_url, provider.fingerprint))


def is_key_refused(work: Work, provider: Provider) -> bool:
    """Whether reading under the key is refused: then so are its answers."""
    circuit = _circuit_at(work.install, provider)
    return circuit is not None and _is_of_key(circuit)


def is_fetching_refused(work: Work, provider: Provider) -> bool:
    """Whether answers were refused under the key, which may look at batches all the same."""
    circuit = _circuit_at(work.install, provider)
    return circuit is not None and _is_of_key(circuit) and circuit.refused is Asked.FETCH


def _is_of_key(circuit: Circuit) -> bool:
    return not is_money_code(circuit.reason.code)


def is_circuit_known(work: Work, provider: Provider) -> bool:
    """Whether creates were held back under this key when that was looked at last, so that an answer may end it."""
    return _circuit_at(work.install, provider) is not None


def may_create(work: Work, provider: Provider) -> Work | None:
    """Return *work* with the installation's row as it is now where this worker may upload and create, else None.

    The first to ask when the time of the circuit, or of a hang, is over probes for all others.
    """
    install = work.ports.ledger.install() or work.install
    circuit, hang = _circuit_at(install, provider), hang_at(install, provider)
    if circuit is None and hang is None:
        return replace(work, install=install)
    now = work.ports.clock.now()
    if max(circuit.open_until if circuit else 0, hang.until if hang else 0) > now:
        return None
    later = now + work.limits.circuit_seconds
    probing = _with_circuit(install, provider, replace(circuit, open_until=later)) if circuit else install
    probing = replace(probing, hang=replace(hang, until=later)) if hang else probing
    return replace(work, install=probing) if write(work, Change((Write(install, probing),))) else None


def hang_at(install: Install, provider: Provider) -> Hang | None:
    """Return that uploads to *provider* are not answered in their time; None where they are."""
    return _of_server(install.hang, provider)


def _fetch_hang_at(install: Install, provider: Provider) -> Hang | None:
    return _of_server(install.fetch_hang, provider)


def _of_server(hang: Hang | None, provider: Provider) -> Hang | None:
    return hang if hang and hang.base_url == provider.base_url else None


def _hung_again(known: Hang | None, provider: Provider, now: int, cause: str) -> Hang:
    """Return the hang *known*, or one that begins now, for another minute."""
    return Hang(provider.base_url, known.since if known else now, now + MINUTE, cause)


def may_fetch(work: Work, provider: Provider) -> Hang | None:
    """Return the hang for which this worker may fetch no answers now; None where it may, the first after its time for all."""
    hang, now = _fetch_hang_at(work.install, provider), work.ports.clock.now()
    if hang is None or hang.until > now:
        return hang
    probing = replace(work.install, fetch_hang=replace(hang, until=now + work.limits.circuit_seconds))
    return None if write(work, Change((Write(work.install, probing),))) else hang


def note_fetch_hang(work: Work, provider: Provider, error: ProviderSilent) -> None:
    """Fetch no answers for a while: it was not answered in its time, and each that follows would hold up a worker as well."""
    work.ports.log.warning("fetch.hung", cause=str(error))
    now = work.ports.clock.now()

    def hung(install: Install) -> Install:
        return replace(install, fetch_hang=_hung_again(_fetch_hang_at(install, provider), provider, now, str(error)))

    change_install(work, hung)


def end_fetch_hang(work: Work) -> None:
    """Let answers be fetched again: some were."""
    if work.install.fetch_hang:
        change_install(work, lambda install: replace(install, fetch_hang=None))


def note_hang(work: Work, provider: Provider, cause: str, *, is_of_create: bool = False) -> None:
    """Begin no upload for a while: one, or a create, was not answered in its time, and each would hold up a worker."""
    work.ports.log.warning("create.hung" if is_of_create else "upload.hung", cause=cause)
    now = work.ports.clock.now()

    def hung(install: Install) -> Install:
        hang = _hung_again(hang_at(install, provider), provider, now, cause)
        return replace(install, hang=replace(hang, is_of_create=is_of_create))

    change_install(work, hung)


def end_hang(work: Work, *, is_of_create: bool = False) -> None:
    """Let uploads continue: one was answered, or a create that was hung for."""
    hang = work.install.hang
    if hang and hang.is_of_create == is_of_create:  # else each upload would read the row
        change_install(work, lambda install: replace(install, hang=None))


def open_circuit(work: Work, provider: Provider, reason: Reason, refused: Asked = Asked.SEND) -> None:
    """Stop creating under this key for a while: the provider refuses it, or the account behind it, for what it was *refused*.

    A key that may not even read is known by that, whatever else is refused besides.
    """
    work.ports.log.warning("circuit.opened", code=reason.code)
    name, now = circuit_key(provider.base_url, provider.fingerprint), work.ports.clock.now()

    def opened(install: Install) -> Install:
        known = install.circuits.get(name)
        is_known = known is not None and _is_of_key(known) and refused is Asked.SEND
        kept = known.refused if known and is_known else refused
        return _with_circuit(install, provider, Circuit(now + work.limits.circuit_seconds, reason, now, refused=kept))

    change_install(work, opened)


def note_lack(work: Work, provider: Provider, shard: Shard, reason: Reason) -> None:
    """Stop creating: the batch of *shard* was taken, and then failed because the account has no money.

    Each time that one asks for all in vain the next waits for longer, up to an hour: it uploads a file and makes a batch.
    """
    work.ports.log.warning("circuit.opened", code=reason.code)
    name, now, limits = circuit_key(provider.base_url, provider.fingerprint), work.ports.clock.now(), work.limits

    def opened(install: Install) -> Install:
        known = install.circuits.get(name)
        count = known.count if known and known.is_of_answers else 0
        if known and count and shard.attempt.file.intent_at > known.since:
            count += 1
        wait_seconds = min(limits.circuit_seconds << min(max(0, count - 1), 8), HOUR)
        circuit = Circuit(now + wait_seconds, reason, now, is_of_answers=True, count=max(1, count))
        return _with_circuit(install, provider, circuit)

    change_install(work, opened)


def close_circuit(work: Work, provider: Provider) -> None:
    """A create was taken: the key is good, and so is the account unless batches fail only later."""
    _close(work, provider, lambda circuit: not circuit.is_of_answers)


def note_good_key(work: Work, provider: Provider, answered: Iterable[Asked]) -> Work:
    """Let everything continue if what was refused under the key is among what was *answered*; return *work* as it is then.

    Where work is only looked at and fetched no create is made that would show it.
    """
    circuit = _circuit_at(work.install, provider)
    kinds = frozenset(answered)
    if circuit is None or circuit.refused not in kinds or not _is_of_key(circuit):
        return work
    return _close(work, provider, lambda circuit: circuit.refused in kinds and _is_of_key(circuit))


def note_answers(work: Work, provider: Provider, shard: Shard) -> None:
    """Let creates continue if answers were missing for want of money: the batch of *shard*, created since, has some."""
    circuit = _circuit_at(work.install, provider)
    if circuit is not None and circuit.is_of_answers:  # seldom: else each look at a batch would read the row
        _close(work, provider, lambda circuit: circuit.is_of_answers and shard.attempt.file.intent_at > circuit.since)


def _close(work: Work, provider: Provider, is_over: Callable[[Circuit], bool]) -> Work:
    name = circuit_key(provider.base_url, provider.fingerprint)

    def without(install: Install) -> Install | None:
        circuit = install.circuits.get(name)
        if circuit is None or not is_over(circuit):
            return None
        return replace(install, circuits={key: value for key, value in install.circuits.items() if key != name})

    closed = change_install(work, without)
    if closed is None:
        return work
    work.ports.log.info("circuit.closed")
    return replace(work, install=closed)


def is_asking(work: Work, provider: Provider, shards: Iterable[Shard]) -> bool:
    """Whether one of *shards* asks for all whether the account has money again: its batch runs, or is collected.

    One that takes longer than an hour is not waited for.
    """
    circuit = _circuit_at(work.install, provider)
    if circuit is None or not circuit.is_of_answers:
        return False
    since = max(circuit.since, work.ports.clock.now() - HOUR)
    return any(
        shard.attempt.batch and shard.attempt.file.intent_at > since for shard in shards if shard.state in _AT_PROVIDER
    )


def keep_proof(work: Work, provider: Provider, batch: str) -> None:
    """Remember one batch of this key's project. Batches cannot be deleted, so it proves the project of a later key."""
    name = circuit_key(provider.base_url, provider.fingerprint)
    if name not in work.install.proofs:
        change_install(work, lambda install: replace(install, proofs={**install.proofs, name: batch}))


def believe(work: Work, provider: Provider, shard: Shard) -> Shard | None:
    """Return *shard*, under this key now, if what the key sees of it can be believed; else None: the shard waits.

    Another key than the shard's is proved by a batch or file of the shard's key that answers to it. A shard out of reach
    is looked at every hour; after a week its items fail.
    """
    if (shard.base_url, shard.fingerprint) == (provider.base_url, provider.fingerprint):
        return shard
    if _is_proved(work, provider, shard):
        return keep_shard(work, shard, fingerprint=provider.fingerprint, unreachable_at=0)
    now = work.ports.clock.now()
    since = shard.unreachable_at or now
    work.ports.log.warning("shard.unreachable", job_id=shard.job, shard=shard.number, ticket=shard.attempt.ticket)
    if now - since >= work.limits.unreachable_seconds_max:
        message = "The API key was changed to one of another project, and stayed so for a week: the answers cannot be reached."
        move_shard(work, shard, GivenUp(shard.attempt.ticket, Reason("unreachable", message)))
    else:
        keep_shard(work, shard, unreachable_at=since, lease=None, due_at=now + HOUR)
    return None


def _is_proved(work: Work, provider: Provider, shard: Shard) -> bool:
    if shard.base_url != provider.base_url:
        return False
    witness = shard.attempt.batch or work.install.proofs.get(circuit_key(shard.base_url, shard.fingerprint))
    is_seen = bool(shard.attempt.file.id) and _shows(lambda: provider.file_exists(shard.attempt.file.id))
    return is_seen or (bool(witness) and _shows(lambda: bool(provider.batch(witness or ""))))


def _shows(ask: Callable[[], bool]) -> bool:
    """Whether a key sees what *ask* asks for. A refusal shows nothing, and says nothing either."""
    try:
        return ask()
    except (NotAtProvider, ProviderRefused):
        return False


def note_refusal(work: Work, provider: Provider, error: KeyRefused, refused: Asked) -> None:
    """Open the circuit for what any call but a create learned about the key."""
    open_circuit(work, provider, Reason(error.code, str(error)), refused)


def _with_circuit(install: Install, provider: Provider, circuit: Circuit) -> Install:
    name = circuit_key(provider.base_url, provider.fingerprint)
    return replace(install, circuits={**install.circuits, name: circuit})
