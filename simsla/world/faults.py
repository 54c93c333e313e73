"""Drawing the environment: the faults of every component, and what the scenario schedules."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from simsla.world.crews import Repairable, waited_for
from simsla.world.environment import FAULT_KINDS, ORDINARY, Environment, Manner
from simsla.world.episodes import Address, Episodes, FloatArray, episodes_of, flapping, repaired
from simsla.world.streams import Stream, checked_seed

if TYPE_CHECKING:
    from simsla.scenario import Component, Fault, Scenario

YEAR_S: Final = 365 * 86400.0


def timeline(scenario: Scenario, years: float, seed: int = 1, replication: int = 0) -> Environment:
    """Every fault episode of so many years (of 365 days), without a single request.

    A replication of the same seed meets the same episodes, as far as its horizon reaches. A thousand years of
    twenty components take a fraction of a second, so rare coincidences can be counted instead of estimated.
    Raises ValueError unless `years` is above 0 and finite and `seed` a whole number.
    """
    if not 0 < years < math.inf:
        raise ValueError(f"years must be above 0 and finite, got {years!r}")
    return draw_environment(scenario, checked_seed(seed), replication, years * YEAR_S)


def draw_environment(
    scenario: Scenario, seed: int, replication: int, until_s: float, *, planned: bool = True
) -> Environment:
    """Every episode of every component that overlaps [0, until_s); without `planned` only what chance brings.

    Each fault has streams of its own, named by the component and the fault, so adding a component moves no
    other. A longer `until_s` only appends episodes.
    """
    components = scenario.all_components
    family = _Families(components)
    repairs_s = _repairs(scenario) if planned else {}
    rows = _Rows(tuple(components), repairs_s, until_s)
    waited = waited_for(_repairable(components, seed, replication), scenario.crews, until_s)
    for name, component in components.items():
        for nth, fault in _numbered(component):
            if fault.schedule and not planned:
                continue
            address: Address = (seed, replication, name, fault.kind, str(nth))
            known = waited.get(address)
            episodes = episodes_of(fault, address, until_s) if known is None else known
            manner = _manner(fault, "/".join(address[2:]))
            own, common = family.shared(name, nth, fault, address, episodes)
            rows.add(name, fault, address, episodes.select(own), manner)
            if common.any():
                for sibling in family.siblings(name):
                    rows.add(sibling, fault, address, episodes.select(common), manner)
    for event in scenario.schedule if planned else ():
        happens = event.fault
        if happens is not None:
            address = (seed, replication, event.component, event.verb, f"at {float(event.at_s)!r}")
            episodes = episodes_of(happens, address, until_s)
            rows.add(event.component, happens, address, episodes, _manner(happens, "/".join(address[2:])))
    return rows.environment()


def _numbered(component: Component) -> Iterator[tuple[int, Fault]]:
    """The faults of a component, and which of their kind each is."""
    seen: dict[str, int] = {}
    for fault in component.faults:
        seen[fault.kind] = nth = seen.get(fault.kind, -1) + 1
        yield nth, fault


def _repairable(components: Mapping[str, Component], seed: int, replication: int) -> list[Repairable]:
    """The drawn faults that must wait for a crew."""
    return [
        Repairable(fault, (seed, replication, name, fault.kind, str(nth)), component.crew)
        for name, component in components.items()
        if component.crew is not None
        for nth, fault in _numbered(component)
        if fault.repair is not None
    ]


def _manner(fault: Fault, name: str) -> Manner:
    chosen = name if fault.only is not None and fault.only.clients < 1 else ""
    return Manner(fault.only, chosen, fault.retry_after_s, fault.hang, bool(fault.schedule))


def _repairs(scenario: Scenario) -> dict[str, FloatArray]:
    """The times at which somebody repairs a component, in order."""
    times: dict[str, list[float]] = {}
    for event in scenario.schedule:
        if event.verb == "repair":
            times.setdefault(event.component, []).append(event.at_s)
    return {name: np.array(sorted(at)) for name, at in times.items()}


class _Families:
    """Components with a common parent: what strikes one may strike all (the beta-factor model)."""

    def __init__(self, components: Mapping[str, Component]) -> None:
        self._components = components
        self._children: dict[str, list[str]] = {}
        for name, component in components.items():
            if component.parent is not None:
                self._children.setdefault(component.parent, []).append(name)

    def siblings(self, name: str) -> list[str]:
        """The others with the same parent."""
        parent = self._components[name].parent
        return [] if parent is None else [child for child in self._children[parent] if child != name]

    def shared(
        self, name: str, nth: int, fault: Fault, address: Address, episodes: Episodes
    ) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Which episodes the component has, and which of them its siblings have too.

        Of n siblings that declare the fault each has (1 - beta) of its episodes to itself, and gives a
        beta / n of them to all; so together they give it the beta that it has left. Its episodes are as many
        as it declares, and one of them is with probability beta an episode of all.
        """
        everything = np.ones(len(episodes.number), dtype=bool)
        siblings = self.siblings(name)
        beta = self._components[name].beta
        if not beta or not siblings or fault.schedule or not len(everything):
            return everything, ~everything
        declaring = 1 + sum(
            any(
                (nth, fault.kind) == (other_nth, other.kind) and not other.schedule
                for other_nth, other in _numbered(self._components[sibling])
            )
            for sibling in siblings
        )
        u = Stream(*address, "common").generator().random(int(episodes.number[-1]) + 1)[episodes.number]
        common = u < beta / declaring
        return common | (u >= beta), common


class _Rows:
    """The columns of an environment as they grow."""

    def __init__(
        self, components: tuple[str, ...], repairs_s: Mapping[str, FloatArray], until_s: float
    ) -> None:
        self._components = components
        self._codes = {name: code for code, name in enumerate(components)}
        self._repairs_s = repairs_s
        self._until_s = until_s
        self._manners: dict[Manner, int] = {ORDINARY: 0}
        self._parts: list[tuple[int, int, int, int, Episodes]] = []

    def add(self, component: str, fault: Fault, address: Address, episodes: Episodes, manner: Manner) -> None:
        """What becomes of a component's episodes of one fault: repaired, and flapping until then."""
        if component in self._repairs_s:
            episodes = repaired(episodes, self._repairs_s[component])
            episodes = episodes.select(episodes.end_s > 0)
        if fault.flapping is not None:
            episodes = flapping(fault.flapping, address, episodes, self._until_s)
        code = self._manners.setdefault(manner, len(self._manners))
        kind = FAULT_KINDS.index(fault.kind)
        self._parts.append((self._codes[component], kind, int(fault.error or 0), code, episodes))

    def environment(self) -> Environment:
        """All of them, ordered by start."""
        if not self._parts:
            return Environment.of((), self._components)
        lengths = [len(part[4].number) for part in self._parts]
        component, kind, error, manner = (
            np.repeat([part[i] for part in self._parts], lengths) for i in range(4)
        )
        start_s, end_s, severity = (np.concatenate([part[4][i] for part in self._parts]) for i in (1, 2, 3))
        start_s = np.maximum(start_s, 0.0)
        order = np.lexsort((end_s, kind, component, start_s))
        return Environment(
            component[order].astype(np.int32),
            kind[order].astype(np.int8),
            start_s[order],
            end_s[order],
            severity[order],
            error[order].astype(np.int16),
            self._components,
            None if len(self._manners) == 1 else manner[order].astype(np.int16),
            tuple(self._manners),
        )
