"""How available each component of a scenario is, in which states, and what siblings share."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from simsla.analysis.closed_forms.fault_shares import (
    crew_shares,
    drawn_share,
    flapping_share,
    for_whom,
    rollback_levels,
)
from simsla.analysis.closed_forms.levels import ALWAYS, Levels
from simsla.analysis.closed_forms.planned_faults import planned_faults, repairs_of, spans

if TYPE_CHECKING:
    from simsla.scenario import Component, Scenario

__all__ = ["Failing", "own_success"]

Place = tuple[str, int]
"""A component, and which of its faults."""


class Failing:
    """The states of every component of a scenario, regions and accounts included.

    A fault takes its severity for the share of time that its process covers; slow answers are no failures.
    What siblings share (the beta-factor model) is a component of its own, named by `parts`.
    """

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._components = scenario.all_components
        self._planned = planned_faults(scenario)
        self._spans = spans(self._planned, scenario)
        self._shares = dict(self._drawn_shares())
        self._rollbacks = dict(self._scheduled_rollbacks())
        children: dict[str, list[str]] = {}
        for name, component in self._components.items():
            if component.parent is not None:
                children.setdefault(component.parent, []).append(name)
        self._families = {
            f"what is common to {' and '.join(names)}": names
            for names in children.values()
            if len(names) > 1 and any(self._components[name].beta for name in names)
        }
        self._family_of = {name: family for family, names in self._families.items() for name in names}

    def parts(self, component: str) -> tuple[str, ...]:
        """What fails when a component does: it alone, and what it shares with its siblings."""
        family = self._family_of.get(component)
        return (component,) if family is None else (component, family)

    def levels(self, request_class: str, region: str | None) -> Iterator[tuple[dict[str, Levels], float]]:
        """The states of all parts for requests of a class from a region, and for what share of the time.

        Planned episodes are what changes in time: where several last at once, they do so in one entry.
        """
        drawn = {name: self._own(name, request_class, region) for name in self._components}
        for family, siblings in self._families.items():
            drawn[family] = self._common(siblings, request_class, region)
        for span, share in self._spans:
            found = dict(drawn)
            for i, severities in span.items():
                component, fault = self._planned[i]
                some = for_whom(fault, request_class, region)
                planned = self._planned[i].levels(severities).for_some(some)
                found[component] = found[component].and_also(planned)
            yield found, share

    def _own(self, name: str, request_class: str, region: str | None) -> Levels:
        found = ALWAYS
        component = self._components[name]
        for i, fault in enumerate(component.faults):
            some = for_whom(fault, request_class, region)
            if (name, i) in self._rollbacks:
                found = found.and_also(self._rollbacks[name, i].for_some(some))
            if (name, i) not in self._shares:
                continue
            strikes = self._shares[name, i] * some
            own, common = self._divided(name, i)
            # Given that it does not strike all siblings: a fault cannot do both at the same time.
            alone = strikes * own / (1 - strikes * common) if own > 0 else 0.0
            found = found.and_also(Levels.hit(fault.severity, alone))
        return found

    def _common(self, siblings: list[str], request_class: str, region: str | None) -> Levels:
        found = ALWAYS
        for name in siblings:
            for i, fault in enumerate(self._components[name].faults):
                if (name, i) in self._shares:
                    strikes = self._shares[name, i] * for_whom(fault, request_class, region)
                    found = found.and_also(Levels.hit(fault.severity, strikes * self._divided(name, i)[1]))
        return found

    def _divided(self, name: str, i: int) -> tuple[float, float]:
        """The shares of a fault's episodes that strike the component alone, and all of its siblings.

        Of n siblings that declare it each keeps 1 - beta and gives beta / n to all.
        """
        component = self._components[name]
        family = self._family_of.get(name)
        if family is None or not component.beta:
            return 1.0, 0.0
        which = numbered(component)[i]
        declaring = sum(
            any(
                which == other and not fault.schedule
                for other, fault in zip(numbered(sibling), sibling.faults, strict=True)
            )
            for sibling in (self._components[each] for each in self._families[family])
        )
        return 1 - component.beta, component.beta / declaring

    def _drawn_shares(self) -> Iterator[tuple[Place, float]]:
        """The share of time for which each fault strikes that has a process."""
        crews = crew_shares(self._scenario)
        for name, component in self._components.items():
            for i, fault in enumerate(component.faults):
                if fault.kind == "slowdown" or fault.schedule:
                    continue
                waiting = None
                if component.crew is not None and fault.repair is not None:
                    waiting = crews.get(component.crew)
                share = drawn_share(fault) if waiting is None else waiting
                yield (name, i), share * flapping_share(fault)

    def _scheduled_rollbacks(self) -> Iterator[tuple[Place, Levels]]:
        start_s, end_s = self._scenario.warmup_s, self._scenario.horizon_s
        for name, component in self._components.items():
            for i, fault in enumerate(component.faults):
                if fault.schedule and fault.rollback is not None and fault.kind != "slowdown":
                    repairs_s = repairs_of(name, self._scenario)
                    yield (name, i), rollback_levels(fault, repairs_s, start_s, end_s)


def numbered(component: Component) -> list[tuple[str, int]]:
    """The kinds of a component's faults, and which of its kind each is."""
    kinds = [fault.kind for fault in component.faults]
    return [(kind, kinds[:i].count(kind)) for i, kind in enumerate(kinds)]


def own_success(errors: Mapping[str, float]) -> float:
    """The share of attempts that a deployment's own errors leave.

    Refused and hung connections are independent of one another and of what is answered; the answers exclude
    one another.
    """
    answers = math.fsum(share for kind, share in errors.items() if kind not in ("connect", "hang"))
    return (1 - errors.get("connect", 0.0)) * (1 - errors.get("hang", 0.0)) * (1 - answers)
