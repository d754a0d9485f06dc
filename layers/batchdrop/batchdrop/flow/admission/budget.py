"""Finds what a job may cost: prices are looked up once, when it is planned, and kept with its groups.

Rule: after planning no price is looked up again: loading the list takes more than the rest of an admission, and a job must not
become dearer because a release brought another list.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from batchdrop.core.admission.budget import affordable, cost_of, day_of, quote_of_rest, with_cost
from batchdrop.core.admission.quota import account_of
from batchdrop.core.delivery.job_lifecycle import PagePlanned
from batchdrop.core.model.change import DayMove
from batchdrop.core.model.endpoints import endpoint_of
from batchdrop.core.model.job import Group, Job, Quote, Rate
from batchdrop.core.model.prices import PriceList, micro_dollars
from batchdrop.core.model.quota import QuotaEstimate
from batchdrop.core.model.shard import Shard
from batchdrop.core.planning.plan import PlanPage
from batchdrop.flow.unit_of_work import Work

_NOTHING: Final = Rate(0, 0, 0)


def page_planned(work: Work, job: Job, page: PlanPage) -> PagePlanned:
    """Return the event that *page* of the plan of *job* is written: behind the last one with prices and a quote."""
    if not page.is_last:
        return PagePlanned(page)
    groups = tuple(replace(group, rate=_rate(work, group)) for group in page.groups)
    quote = quote_rest(work, replace(job, groups=groups))
    return PagePlanned(replace(page, groups=groups), quote)


def quote_rest(work: Work, job: Job) -> Quote:
    """Return what those lines of *job* are expected to cost that are in no shard yet, by what is known now."""
    account = account_of(work.ports.providers.base_url)
    models = {group.model for group in job.groups if group.cut_lines < group.lines}
    return quote_of_rest(job, {model: _quota_estimate(work, account, model) for model in sorted(models)})


def quote_whole(work: Work, job: Job, waiting: Sequence[Shard]) -> Quote:
    """Return what *job* comes to in all: what is spent and reserved, those of its shards that are *waiting*, and the rest."""
    rest = quote_rest(work, job)
    quote = replace(rest, microdollars=rest.microdollars + job.money.spent + job.money.reserved)
    for shard in waiting:
        if not shard.reserved_microdollars:
            rate = job.groups[shard.group].rate
            quote = with_cost(quote, shard.model, cost_of(rate, shard.tokens, shard.answer_tokens))
    return quote


@dataclass(frozen=True, slots=True)
class Purse:
    """What is left of a day's money."""

    day: str
    limit: int
    left: int
    expires_at: int

    def affordable(self, amount: int, microdollars: int) -> int:
        """Return how much of *amount*, which costs *microdollars*, may be admitted today."""
        return affordable(amount, microdollars, self.left, self.limit)

    def spending(self, microdollars: int) -> DayMove:
        """Return what a shard takes of it."""
        return DayMove(self.day, microdollars, self.expires_at, self.limit)


def open_purse(work: Work) -> Purse | None:
    """Return what is left of today's money; None where days are not counted."""
    limit, now = work.limits.daily_cost_microdollars_max, work.ports.clock.now()
    if not limit:
        return None
    day = day_of(now)
    counted = work.ports.ledger.day_microdollars(day)
    return Purse(day, limit, limit - counted, now + work.limits.ended_rows_kept_seconds)


def settled(work: Work, shard: Shard, spent_microdollars: int) -> DayMove | None:
    """Return how today's money moves as *shard* is collected: by what it cost more or less than it held of today's.

    A day that is over no longer limits anything.
    """
    now = work.ports.clock.now()
    difference = spent_microdollars - shard.reserved_microdollars
    if shard.reserved_on != day_of(now) or not difference:
        return None
    return DayMove(shard.reserved_on, difference, now + work.limits.ended_rows_kept_seconds)


def _quota_estimate(work: Work, account: str, model: str) -> QuotaEstimate:
    return work.ports.ledger.quota(account, model).quota_estimate


def _rate(work: Work, group: Group) -> Rate | None:
    """Return what tokens of the group's model cost; None if unknown."""
    ports = work.ports
    if group.endpoint in ports.providers.dialects.of(ports.providers.base_url).free_endpoints:
        return _NOTHING
    if not endpoint_of(group.endpoint).is_quoted:
        return None
    prices = ports.prices.price_list(group.model, ports.providers.base_url, ports.clock.now())
    return None if prices is None else _rate_of(prices, group)


def _rate_of(prices: PriceList, group: Group) -> Rate | None:
    """Return the price of a request as long as those of *group* are on average: long ones may cost more a token."""
    rates = prices.rates_of(group.tokens // max(1, group.lines))
    has_answers = group.unlimited > 0 or group.answer_tokens > 0
    if rates.input is None or (rates.output is None and has_answers):
        return None
    cached = rates.cached or rates.input
    output = 0 if rates.output is None else micro_dollars(rates.output.batch)
    return Rate(micro_dollars(rates.input.batch), micro_dollars(cached.batch), output)
