"""Client-side limits in requests and tokens a minute, per deployment and per account."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from simsla.routing.errors import AttemptError
from simsla.routing.limits.bucket import Bucket
from simsla.routing.limits.tickets import Ticket, costs_nothing, never_arrived
from simsla.routing.progress import Progress
from simsla.routing.types import Reply


class Meter(NamedTuple):
    """A bucket of one deployment, or of an account that several deployments share."""

    bucket: Bucket
    counts_tokens: bool
    refusal: str


def buckets(rpm: float | None, tpm: float | None, burst_s: float, owner: str = "") -> tuple[Meter, ...]:
    """Full buckets that hold the limit of ``burst_s`` seconds, and at least one request.

    ``owner`` is appended to the reason of a refusal.
    """
    made = []
    for per_minute, counts_tokens, name in ((rpm, False, "rpm"), (tpm, True, "tpm")):
        if per_minute is not None:
            bucket = Bucket(per_minute / 60.0, max(1.0, per_minute * burst_s / 60.0))
            made.append(Meter(bucket, counts_tokens, f"{name} limit{owner}"))
    return tuple(made)


class RateLimit:
    """The rate limits of one deployment: its own and those of its accounts, all or nothing.

    An attempt takes one request, and its prompt plus ``max_tokens`` (or ``assumed_output_tokens``) tokens.
    When it is answered the tokens are corrected to those of the reply. The tokens of an attempt that no
    provider bills for come back; the request comes back only where the deployment never saw it, because a
    refused request counts for a provider's limit. What was cancelled keeps its tokens: how many were made
    is not known.
    """

    __slots__ = ("_assumed_output_tokens", "_meters", "refusal")

    def __init__(self, meters: Sequence[Meter], assumed_output_tokens: int) -> None:
        self._meters = tuple(meters)
        self._assumed_output_tokens = assumed_output_tokens
        self.refusal = ""

    def admit(self, progress: Progress, now: float) -> Ticket | None:
        """A ticket where every bucket has enough."""
        request = progress.request
        tokens_out = request.max_tokens
        if tokens_out is None:
            tokens_out = self._assumed_output_tokens
        tokens = request.prompt_tokens + tokens_out
        for bucket, counts_tokens, refusal in self._meters:
            if bucket.wait_s(tokens if counts_tokens else 1, now) > 0.0:
                self.refusal = refusal
                return None
        for bucket, counts_tokens, _ in self._meters:
            bucket.take(tokens if counts_tokens else 1, now)
        return Ticket(progress, progress.attempts, tokens)

    def succeeded(self, ticket: object, now: float, reply: Reply) -> None:
        """Corrected to the tokens that it took."""
        assert isinstance(ticket, Ticket)
        self._give(0.0, ticket.amount - reply.tokens_in - reply.tokens_out, now)

    def failed(self, ticket: object, now: float, error: AttemptError) -> None:
        """Given back as far as it took nothing."""
        self._end(ticket, now, error)

    def released(self, ticket: object, now: float, error: AttemptError | None = None) -> None:
        """Given back where it took nothing, and whole where the attempt never began."""
        self._end(ticket, now, error)

    def available_at(self, now: float) -> float:
        """When a request of one token fits."""
        return now + max(each.bucket.wait_s(1.0, now) for each in self._meters)

    def _end(self, ticket: object, now: float, error: AttemptError | None) -> None:
        assert isinstance(ticket, Ticket)
        if ticket.unused or never_arrived(error):
            self._give(1.0, ticket.amount, now)
        elif costs_nothing(error):
            self._give(0.0, ticket.amount, now)

    def _give(self, requests: float, tokens: float, now: float) -> None:
        for bucket, counts_tokens, _ in self._meters:
            bucket.give(tokens if counts_tokens else requests, now)
