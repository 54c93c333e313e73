"""A hard cap on what may be spent, per request and per day."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from simsla.routing.config import FrozenMapping, Section, setting
from simsla.routing.errors import AttemptError, ConfigError
from simsla.routing.limits.tickets import Ticket, costs_nothing
from simsla.routing.limits.windows import SlidingSum
from simsla.routing.progress import Progress
from simsla.routing.types import Deployment, Reply

_HOUR_S: Final = 3600.0
# One more than a day has: the oldest hour is forgotten when all of it is a day old.
_HOURS: Final = 25
# Sums of prices round: what is beyond a cap by less is within it.
_ROUNDING_USD: Final = 1e-9

PER_REQUEST: Final = "spend cap per request"
PER_DAY: Final = "spend cap per day"
"""The two refusals. Where some money is left they mean that this request needs more: no wait helps it."""


@dataclass(frozen=True)
class AccountCap(Section):
    """What several deployments may cost together, because they share a provider, a key or a cost centre."""

    deployments: tuple[str, ...] = setting()
    """The deployments of the account. One may belong to several accounts."""
    per_day_usd: float = setting(above=0.0)
    """USD in any 24 hours, in steps of an hour."""

    def verify(self) -> None:
        """It names deployments, each once."""
        if not self.deployments:
            raise ConfigError("deployments", [], "at least one deployment")
        for index, name in enumerate(self.deployments):
            if name in self.deployments[:index]:
                raise ConfigError(f"deployments.{index}", name, "each deployment once")


@dataclass(frozen=True)
class SpendPolicy(Section):
    """No attempt begins unless its worst case fits what is left of both caps.

    The worst case is the prompt plus the most output. Where only a part of the output fits, the attempt is
    made with fewer ``max_tokens``. What an answer really cost takes the place of the worst case; what may
    have been billed without an answer (timed out, cut off, malformed, cancelled) counts with its worst case,
    because a cap errs on the safe side. The caps hold as far as prices and ``prompt_tokens`` are right. A
    deployment without a price is never refused. Every process counts for itself, from its start.
    """

    per_request_usd: float | None = setting(None, above=0.0)
    """USD for one request, with every attempt and subordinate call; None: no cap."""
    per_day_usd: float | None = setting(None, above=0.0)
    """USD in any 24 hours, in steps of an hour, so that it holds for the days of every time zone; None: no
    cap."""
    accounts: Mapping[str, AccountCap] = setting(FrozenMapping())
    """Account -> the cap of its deployments, as LiteLLM's budgets of providers and tags. A deployment whose
    account is used up is passed over; others go on."""
    assumed_output_tokens: int = setting(4096, minimum=1)
    """The most output tokens of a request without ``max_tokens``, and the ``max_tokens`` that its attempts at
    priced deployments then get: without one no worst case exists."""
    min_output_tokens: int = setting(16, minimum=1)
    """An attempt that could afford fewer output tokens, and wants more, is refused: what cannot answer should
    not cost. 16 is the least that OpenAI's Responses API takes."""

    def verify(self) -> None:
        """There is a cap, and the numbers are in order."""
        if self.per_request_usd is None and self.per_day_usd is None and not self.accounts:
            expected = "a number here or in per_day_usd, or accounts: a spend cap has one"
            raise ConfigError("per_request_usd", None, expected)
        if self.per_request_usd is not None and self.per_request_usd > (self.per_day_usd or math.inf):
            expected = f"at most per_day_usd ({self.per_day_usd:g})"
            raise ConfigError("per_request_usd", self.per_request_usd, expected)
        if self.min_output_tokens > self.assumed_output_tokens:
            expected = f"at most assumed_output_tokens ({self.assumed_output_tokens})"
            raise ConfigError("min_output_tokens", self.min_output_tokens, expected)

    def named(self) -> Iterable[tuple[str, str]]:
        """Path within the section and name of each deployment that it names."""
        for account, cap in self.accounts.items():
            for index, name in enumerate(cap.deployments):
                yield f"accounts.{account}.deployments.{index}", name

    def build(self, deployments: Sequence[Deployment]) -> dict[str, SpendCap]:
        """Deployment -> its part of the ledgers. It must be asked last: it takes money from what is left."""
        ledger = Ledger(self.per_day_usd)
        accounts = [(cap.deployments, Ledger(cap.per_day_usd)) for cap in self.accounts.values()]
        return {
            each.name: SpendCap(self, (ledger, *(own for names, own in accounts if each.name in names)), each)
            for each in deployments
        }


class Ledger:
    """What is spent of the day, and what may yet be: reserved for attempts in flight."""

    __slots__ = ("_cap_usd", "_reserved_usd", "_spent_usd")

    def __init__(self, cap_usd: float | None) -> None:
        """None: nothing is capped, and nothing is remembered."""
        self._cap_usd = cap_usd
        self._spent_usd = SlidingSum(_HOUR_S, _HOURS)
        self._reserved_usd = 0.0

    def left_usd(self, now: float) -> float:
        """Of the day's cap."""
        if self._cap_usd is None:
            return math.inf
        return self._cap_usd - self._spent_usd.total(now) - self._reserved_usd

    def reserve(self, usd: float) -> None:
        """An attempt begins that may cost so much."""
        self._reserved_usd += usd

    def settle(self, reserved_usd: float, spent_usd: float, now: float) -> None:
        """It has ended and cost so much."""
        self._reserved_usd -= reserved_usd
        if self._cap_usd is not None:
            self._spent_usd.add(spent_usd, now)

    def left_at(self, usd: float, now: float) -> float:
        """When so much will be left; inf where that depends on attempts in flight."""
        if self._cap_usd is None:
            return now
        target = self._cap_usd - self._reserved_usd - usd + _ROUNDING_USD
        return math.inf if target < 0.0 else self._spent_usd.falls_to(target, now)


class SpendCap:
    """The cap as one deployment with its prices sees it."""

    __slots__ = ("_ledgers", "_policy", "_priced", "_usd_in", "_usd_out", "refusal")

    def __init__(self, policy: SpendPolicy, ledgers: tuple[Ledger, ...], deployment: Deployment) -> None:
        self._policy = policy
        self._ledgers = ledgers
        self._usd_in = deployment.usd_per_mtok_in * 1e-6
        self._usd_out = deployment.usd_per_mtok_out * 1e-6
        self._priced = self._usd_in > 0.0 or self._usd_out > 0.0
        self.refusal = ""

    def admit(self, progress: Progress, now: float) -> Ticket | None:
        """A ticket where enough is left; ``progress.max_tokens`` is then what may be answered."""
        progress.max_tokens = None
        request = progress.request
        policy = self._policy
        wanted = policy.assumed_output_tokens if request.max_tokens is None else request.max_tokens
        payer = progress.account or progress
        left_usd, refusal = min(ledger.left_usd(now) for ledger in self._ledgers), PER_DAY
        if policy.per_request_usd is not None:
            left_of_request_usd = policy.per_request_usd - payer.committed_usd
            if left_of_request_usd < left_usd:
                left_usd, refusal = left_of_request_usd, PER_REQUEST
        prompt_usd = request.prompt_tokens * self._usd_in
        tokens_out = wanted
        if self._usd_out > 0.0:
            affordable = (left_usd - prompt_usd + _ROUNDING_USD) / self._usd_out
            if affordable < wanted:
                tokens_out = math.floor(affordable)
        worst_usd = prompt_usd + tokens_out * self._usd_out
        too_few = tokens_out < min(wanted, policy.min_output_tokens)
        if self._priced and (too_few or worst_usd > left_usd + _ROUNDING_USD):
            self.refusal = refusal
            return None
        if self._usd_out > 0.0 and tokens_out != request.max_tokens:
            progress.max_tokens = tokens_out
        payer.committed_usd += worst_usd
        for ledger in self._ledgers:
            ledger.reserve(worst_usd)
        return Ticket(progress, progress.attempts, worst_usd)

    def succeeded(self, ticket: object, now: float, reply: Reply) -> None:
        """It cost what its tokens cost."""
        self._settle(ticket, reply.tokens_in * self._usd_in + reply.tokens_out * self._usd_out, now)

    def failed(self, ticket: object, now: float, error: AttemptError) -> None:
        """It cost nothing, or perhaps everything."""
        self._end(ticket, error, now)

    def released(self, ticket: object, now: float, error: AttemptError | None = None) -> None:
        """It cost nothing where it never began or was refused, or perhaps everything."""
        self._end(ticket, error, now)

    def available_at(self, now: float) -> float:
        """When the day's cap pays for a token; a request's own cap is another matter."""
        if not self._priced:
            return now
        return max(ledger.left_at(self._usd_out or self._usd_in, now) for ledger in self._ledgers)

    def _end(self, ticket: object, error: AttemptError | None, now: float) -> None:
        assert isinstance(ticket, Ticket)
        self._settle(ticket, 0.0 if ticket.unused or costs_nothing(error) else ticket.amount, now)

    def _settle(self, ticket: object, spent_usd: float, now: float) -> None:
        assert isinstance(ticket, Ticket)
        payer = ticket.progress.account or ticket.progress
        payer.committed_usd += spent_usd - ticket.amount
        for ledger in self._ledgers:
            ledger.settle(ticket.amount, spent_usd, now)
