"""The configuration of every limit, and what is built from it."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from simsla.routing.config import FrozenMapping, Section, setting
from simsla.routing.errors import ConfigError
from simsla.routing.limits.bulkhead import Bulkhead
from simsla.routing.limits.cubic import AWSRate
from simsla.routing.limits.envoy import EnvoyGradient
from simsla.routing.limits.netflix import AimdLimit, Gradient2Limit
from simsla.routing.limits.rate import Meter, RateLimit, buckets
from simsla.routing.limits.throttle import EnvoyThrottle, SreThrottle
from simsla.routing.protocols import Health
from simsla.routing.types import Deployment

Adaptive = AimdLimit | Gradient2Limit | EnvoyGradient
"""Every adaptive limit; the first is meant where no ``kind`` is given."""

Throttle = SreThrottle | EnvoyThrottle
"""Every throttle; the first is meant where no ``kind`` is given."""


@dataclass(frozen=True, kw_only=True)
class Quota(Section):
    """What may be asked of one deployment; None: no limit."""

    rpm: float | None = setting(None, above=0.0)
    """Attempts a minute, as a token bucket."""
    tpm: float | None = setting(None, above=0.0)
    """Tokens a minute, prompt and output, as a token bucket."""
    max_concurrent: int | None = setting(None, minimum=1)
    """Attempts at a time; more are refused at once. For comparison: resilience4j allows 25, Polly 1000."""

    def over(self, other: Quota | None) -> Quota:
        """This one, and the other's limits where it has none."""
        if other is None:
            return self
        return Quota(
            rpm=other.rpm if self.rpm is None else self.rpm,
            tpm=other.tpm if self.tpm is None else self.tpm,
            max_concurrent=other.max_concurrent if self.max_concurrent is None else self.max_concurrent,
        )


@dataclass(frozen=True, kw_only=True)
class AccountQuota(Quota):
    """What may be asked of several deployments together, because they share a key or a contract."""

    deployments: tuple[str, ...] = setting()
    """The deployments of the account. One may belong to several accounts: a project and its organisation."""

    def verify(self) -> None:
        """It limits something, and names each deployment once."""
        if not self.deployments:
            raise ConfigError("deployments", [], "at least one deployment")
        for index, name in enumerate(self.deployments):
            if name in self.deployments[:index]:
                raise ConfigError(f"deployments.{index}", name, "each deployment once")
        if self.rpm is None and self.tpm is None and self.max_concurrent is None:
            raise ConfigError(
                "rpm", None, "a number here, in tpm or in max_concurrent: an account has a limit"
            )


@dataclass(frozen=True)
class LimitsPolicy(Section):
    """How much may be asked of deployments and accounts. Nothing is limited unless configured.

    Every process counts for itself: of an account that n of them use, each gets 1/n.
    """

    deployments: Mapping[str, Quota] = setting(FrozenMapping())
    """Deployment -> its own limits, which go before those of ``each``."""
    each: Quota | None = field(default=None)
    """The limits of every deployment, each for itself."""
    accounts: Mapping[str, AccountQuota] = setting(FrozenMapping())
    """Account -> the limits that its deployments share."""
    burst_s: float = setting(60.0, above=0.0, unit="s")
    """A bucket holds the limit of so many seconds, and at least one request. 60 as Anthropic, whose buckets
    fill up to the limit of a minute; 1 suits a provider that enforces a minute's limit by the second."""
    assumed_output_tokens: int = setting(500, minimum=0)
    """Output tokens of a request without ``max_tokens``, until its answer tells. 500 as in the ``cost``
    selection."""
    adaptive: Adaptive | None = field(default=None)
    """An adaptive limit of attempts at a time, for each deployment."""
    throttle: Throttle | None = field(default=None)
    """Refusal by chance, for each deployment."""
    adaptive_rate: AWSRate | None = field(default=None)
    """A send rate that adapts to rate limits, for each deployment."""

    def named(self) -> Iterable[tuple[str, str]]:
        """Path within the section and name of each deployment that it names."""
        for name in self.deployments:
            yield f"deployments.{name}", name
        for account, quota in self.accounts.items():
            for index, name in enumerate(quota.deployments):
                yield f"accounts.{account}.deployments.{index}", name

    def build(self, deployments: Sequence[Deployment], rng: random.Random) -> dict[str, tuple[Health, ...]]:
        """Deployment -> its limits in the order of asking, none where nothing is configured.

        A part that refuses ends the asking, so chance comes first and what is taken comes last.
        """
        built: dict[str, list[Health]] = {each.name: [] for each in deployments}
        metered: dict[str, list[Meter]] = {name: [] for name in built}
        for name, parts in built.items():
            quota = self.deployments.get(name, Quota()).over(self.each)
            if self.throttle is not None:
                parts.append(self.throttle.build(rng))
            if quota.max_concurrent is not None:
                parts.append(Bulkhead(quota.max_concurrent))
            metered[name] += buckets(quota.rpm, quota.tpm, self.burst_s)
        for account, shared in self.accounts.items():
            owner = f" of account {account}"
            bulkhead = None if shared.max_concurrent is None else Bulkhead(shared.max_concurrent, owner)
            shared_buckets = buckets(shared.rpm, shared.tpm, self.burst_s, owner)
            for name in shared.deployments:
                if bulkhead is not None:
                    built[name].append(bulkhead)
                metered[name] += shared_buckets
        for name, parts in built.items():
            if self.adaptive is not None:
                parts.append(self.adaptive.build(rng))
            if self.adaptive_rate is not None:
                parts.append(self.adaptive_rate.build(rng))
            if metered[name]:
                parts.append(RateLimit(metered[name], self.assumed_output_tokens))
        return {name: tuple(parts) for name, parts in built.items()}
