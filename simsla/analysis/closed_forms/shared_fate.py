"""The availability that independence promises for a scenario, and what its shared components leave of it."""

from __future__ import annotations

import html
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from simsla.analysis.closed_forms.arguments import Floats
from simsla.analysis.closed_forms.budgets import MONTH_S
from simsla.analysis.closed_forms.fault_levels import Failing, own_success
from simsla.analysis.closed_forms.fault_notes import fault_notes
from simsla.analysis.closed_forms.form import ClosedForm
from simsla.analysis.closed_forms.levels import Levels
from simsla.analysis.closed_forms.plans import plans
from simsla.routing import RoutingPolicy

if TYPE_CHECKING:
    import pandas as pd

    from simsla.scenario import Scenario

__all__ = ["Independence", "independence"]

MOST_STATES: Final = 2**18

TRIED: Final = "every deployment of the request's plan is tried once, in time; no overload"
NAIVE: Final = f"deployments fail independently of one another, also where they share a component; {TRIED}"
SHARED: Final = f"components fail independently, each with all that depends on it; {TRIED}"

PRODUCT: Final = "product over the deployments that may answer"
TOTAL_PROBABILITY: Final = "law of total probability over the states of shared components"

Plan = tuple[str, ...]


@dataclass(frozen=True, slots=True, repr=False)
class Independence:
    """What independence promises (`naive`), and what is left of it with shared components (`shared_fate`).

    `deployments` and `components` are their own availabilities, for the requests asked about. Iterating gives
    the two closed forms, so that `result.against(independence(scenario))` puts both beside the simulated
    truth.
    """

    naive: ClosedForm
    shared_fate: ClosedForm
    deployments: Mapping[str, float]
    components: Mapping[str, float]

    def __iter__(self) -> Iterator[ClosedForm]:
        return iter((self.naive, self.shared_fate))

    @property
    def frame(self) -> pd.DataFrame:
        """One row per formula: availability, unavailability, and down, in seconds per 30 days."""
        import pandas as pd

        rows = [
            {
                "formula": form.name,
                "availability": form.value,
                "unavailability": form.left,
                "down_s_per_30d": form.left * MONTH_S,
                "assumption": form.assumption,
            }
            for form in self
        ]
        return pd.DataFrame(rows).set_index("formula")

    def __str__(self) -> str:
        return "\n".join(
            f"{form.name}: unavailability {form.left:.4g}, down {form.left * MONTH_S:.4g} s in 30 days"
            for form in self
        )

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{html.escape(form.name)}</td><td>{form.left:.4g}</td>"
            f"<td>{form.left * MONTH_S:.4g} s</td><td>{html.escape(form.assumption)}</td></tr>"
            for form in self
        )
        head = "<tr><th>formula</th><th>unavailability</th><th>down in 30 days</th><th>assumes</th></tr>"
        return f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>"


def independence(scenario: Scenario, policy: Any = None, request_class: str | None = None) -> Independence:
    """The availability of a scenario by formula, without and with shared components.

    From the unavailability of each fault (severity x share of time, from its process or its schedule), the
    deployments' own error shares and the plans of the router: those that a request may be sent to. `naive` is
    1 - prod(1 - A_i) over the deployments of a plan, A_i being the availability of all that one depends on.
    `shared_fate` is exact for components: it sums over the states of those that several deployments of a plan
    share, among them what siblings have in common, and given a state multiplies what is left; planned
    episodes last when they last. Plans are weighted by their share of the requests, of all or of one
    `request_class`; grey faults and partitions count for those whom they hit. Poisoned requests are not
    valid, so they count for nothing. Where a kind of fault has no formula its mean is taken, and the
    assumption says so.

    `policy` is by default the scenario's; for one that is no RoutingPolicy, any deployment may answer.
    Raises KeyError for an unknown class, ValueError for more than 2^18 states of shared components.
    """
    chosen = scenario.routing if policy is None else policy
    by_origin = plans(scenario, chosen if isinstance(chosen, RoutingPolicy) else None)
    if request_class is not None:
        if request_class not in scenario.traffic:
            raise KeyError(request_class)
        by_origin = {origin: shares for origin, shares in by_origin.items() if origin[0] == request_class}
    failing = Failing(scenario)
    depends = {
        name: tuple(part for component in spec.dependencies for part in failing.parts(component))
        for name, spec in scenario.deployments.items()
    }
    own = {name: own_success(spec.errors) for name, spec in scenario.deployments.items()}
    naive = shared = total = 0.0
    deployments = dict.fromkeys(depends, 0.0)
    components = dict.fromkeys(scenario.all_components, 0.0)
    for origin, shares in by_origin.items():
        weight = math.fsum(shares.values())
        failed = dict.fromkeys(depends, 0.0)
        for levels, part in failing.levels(*origin):
            for name in failed:
                failed[name] += part * lost((name,), depends, own, levels)
            for name in components:
                up = math.prod(levels[each].availability for each in failing.parts(name))
                components[name] += weight * part * up
            shared += part * math.fsum(
                share * lost(plan, depends, own, levels) for plan, share in shares.items()
            )
        for name, failure in failed.items():
            deployments[name] += weight * (1 - failure)
        naive += math.fsum(share * math.prod(failed[name] for name in plan) for plan, share in shares.items())
        total += weight
    naively, sharing = ("; ".join([words, *fault_notes(scenario)]) for words in (NAIVE, SHARED))
    return Independence(
        form("independent deployments", naive / total, naively, PRODUCT, request_class),
        form("shared components in series", shared / total, sharing, TOTAL_PROBABILITY, request_class),
        {name: up / total for name, up in deployments.items()},
        {name: up / total for name, up in components.items()},
    )


def form(
    name: str, unavailability: float, assumption: str, source: str, request_class: str | None
) -> ClosedForm:
    return ClosedForm(
        name,
        1 - unavailability,
        assumption,
        source,
        request_class=request_class,
        shortfall=unavailability,
    )


def lost(
    plan: Plan, depends: Mapping[str, Plan], own: Mapping[str, float], levels: Mapping[str, Levels]
) -> float:
    """The probability that every deployment of a plan fails."""
    users = Counter(part for name in plan for part in depends[name])
    common = [part for part, count in users.items() if count > 1 and len(levels[part].share) > 1]
    states = math.prod(len(levels[part].share) for part in common)
    if states > MOST_STATES:
        raise ValueError(
            f"expected at most {MOST_STATES:,} states of shared components, got {states:,}: "
            f"{', '.join(common)}"
        )
    # One axis per shared component: numbers spread along it combine with all others by broadcasting.
    axis = {part: i for i, part in enumerate(common)}

    def along(part: str, values: tuple[float, ...]) -> Floats:
        shape = [1] * len(common)
        shape[axis[part]] = len(values)
        return np.array(values).reshape(shape)

    failing: Any = np.ones([1] * len(common))
    for name in plan:
        private = [levels[part].availability for part in depends[name] if part not in axis]
        through: Any = own[name] * math.prod(private)
        for part in depends[name]:
            if part in axis:
                through = through * along(part, levels[part].success)
        failing = failing * (1 - through)
    for part in common:
        failing = failing * along(part, levels[part].share)
    return float(np.sum(failing))
