"""A deployment as the world has it: its condition, its luck, its slots and its bill."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from simsla.records import ATTEMPT_OUTCOMES
from simsla.world.conditions import Conditions
from simsla.world.grey import GreyConditions, grey_conditions
from simsla.world.streams import BLOCK, FloatArray, Stream

if TYPE_CHECKING:
    from simsla.scenario import DeploymentSpec
    from simsla.world.accounts import Gate
    from simsla.world.environment import Environment
    from simsla.world.latent import VaryingConditions, VaryingGrey
    from simsla.world.pricing import Tariff
    from simsla.world.sharing import Sharing
    from simsla.world.traffic import Block

Luck = tuple[Sequence[float] | Mapping[int, float], ...]
"""What attempts drew, by their requests' places in their block: the uniform that decides failure, seconds to
the first token, seconds per token, seconds to an error."""

# Calls by one request to one deployment that are drawn together with those of its whole block. Further ones,
# which few requests make, are drawn for the request alone: a block of each would fill the memory.
_CALLS_BY_BLOCK: Final = 16

# So many of the further ones are drawn at once.
_CALLS_AT_ONCE: Final = 64


# Whose rule of `Billing` an attempt is billed by.
_BILLING_OF_OUTCOME: Final = {
    ATTEMPT_OUTCOMES.index("cancelled"): "cancelled",
    ATTEMPT_OUTCOMES.index("timeout"): "timed_out",
    ATTEMPT_OUTCOMES.index("interrupted"): "cut",
    ATTEMPT_OUTCOMES.index("malformed"): "malformed",
    ATTEMPT_OUTCOMES.index("server_error"): "errors",
    ATTEMPT_OUTCOMES.index("unavailable"): "errors",
}


class Server:
    """One deployment during one replication.

    A fault acts on an attempt when it begins: a refusal when the attempt arrives, everything else when it
    gets its slot. Attempts that are being answered when a fault begins are answered.
    """

    def __init__(
        self,
        spec: DeploymentSpec,
        index: int,
        environment: Environment,
        seed: int,
        replication: int,
        begin_s: float,
        end_s: float,
    ) -> None:
        """`begin_s` and `end_s` bound the run in absolute time; `index` is its code in the logs."""
        self.index = index
        self.name = spec.name
        self.model = spec.model
        self.conditions: Conditions | VaryingConditions = Conditions(
            spec.errors, spec.dependencies, environment, begin_s, end_s
        )
        self.grey: GreyConditions | VaryingGrey | None = grey_conditions(
            spec.errors, spec.dependencies, environment, (seed, replication), begin_s, end_s
        )
        """The conditions by who asks, in the place of `conditions`; None where all meet the same."""
        self.context_window = spec.context_window
        self.retry_after_s = spec.retry_after_s
        self.in_flight = 0
        self.at_once = False
        """Whether an attempt that begins is served in the same moment, unless a fault hits it."""
        self.limit: float | None = spec.max_concurrency
        """Attempts that may be served at once; None where there is no need to count them."""
        self.queue_limit = spec.queue_limit
        self.waiting: deque[asyncio.Future[bool]] = deque()
        self.busy = 0
        self.usd_per_token_in = spec.price.usd_per_mtok_in / 1e6
        self.usd_per_token_out = spec.price.usd_per_mtok_out / 1e6
        self.gate: Gate | None = None
        """The limits on rate, its own and its account's."""
        self.sharing: Sharing | None = None
        """How those in service slow one another down."""
        self.tariff: Tariff | None = None
        """What attempts cost, where two numbers do not say it."""
        self._rules = {outcome: getattr(spec.billing, rule) for outcome, rule in _BILLING_OF_OUTCOME.items()}
        self._spec = spec
        self._address = (seed, replication)

    def luck(self, block: Block, purpose: str, ordinal: int, place: int) -> Luck:
        """What the call of this ordinal by the request at this place of its block meets."""
        if purpose == "answer":
            drawn = block.luck[self.index]
        else:
            drawn = block.other_luck.setdefault((self.index, purpose), [])
        try:
            return drawn[ordinal]
        except IndexError:
            if ordinal >= _CALLS_BY_BLOCK:
                return self._late_luck(block, purpose, ordinal - _CALLS_BY_BLOCK, place)
            while len(drawn) <= ordinal:
                stream = self._stream(block, purpose)
                drawn.append(self._drawn(stream.uniforms((4, BLOCK), block.index, len(drawn))))
            return drawn[ordinal]

    def _late_luck(self, block: Block, purpose: str, late: int, place: int) -> Luck:
        run, at = divmod(late, _CALLS_AT_ONCE)
        key = (self.index, purpose, place)
        kept = block.late_luck.get(key)
        if kept is None or kept[0] != run:
            stream = self._stream(block, purpose, "late")
            u = stream.uniforms((4, _CALLS_AT_ONCE), block.index * BLOCK + place, run)
            kept = block.late_luck[key] = run, self._drawn(u)
        return tuple({place: values[at]} for values in kept[1])

    def _stream(self, block: Block, *names: str) -> Stream:
        return Stream(*self._address, "deployment", self.name, *names, block.request_class)

    def _drawn(self, uniforms: FloatArray) -> tuple[list[float], ...]:
        fails, first, per_token, error = uniforms
        latency = self._spec.latency
        if latency.total is not None:
            # The whole answer comes at once: its first token is its last.
            firsts, per_tokens = latency.total.ppf(first).tolist(), [0.0] * len(first)
        else:
            assert latency.first_token is not None
            assert latency.per_token is not None
            firsts, per_tokens = (
                latency.first_token.ppf(first).tolist(),
                latency.per_token.ppf(per_token).tolist(),
            )
        return fails.tolist(), firsts, per_tokens, self._spec.error_latency.ppf(error).tolist()

    def billed(self, outcome: int, *, tokens_in: int, generated: int, whole: int) -> tuple[int, int]:
        """The tokens billed, in and out, for an attempt that was accepted and ended so.

        `generated` are the tokens made so far, `whole` those of the whole answer.
        """
        rule = self._rules[outcome]
        if rule == "none":
            return 0, 0
        return tokens_in, (generated if rule == "generated" else whole)

    def release(self) -> None:
        """Give a slot back: to the attempt that has waited longest, if any still waits."""
        while self.waiting:
            turn = self.waiting.popleft()
            if not turn.done():
                turn.set_result(True)
                return
        self.busy -= 1
