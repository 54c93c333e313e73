"""Grey failures: faults that hit some request classes, client regions or clients, and nobody else."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from simsla.world.conditions import Conditions
from simsla.world.environment import Environment, Manner
from simsla.world.streams import BLOCK

if TYPE_CHECKING:
    from simsla.routing import Request
    from simsla.world.requests import OpenRequest


class GreyConditions:
    """The conditions of one deployment, where they depend on who asks.

    Those who are hit by the same episodes share their conditions, which are laid out when the first of them
    asks: there are few such groups, however many clients there are.
    """

    def __init__(
        self,
        errors: Mapping[str, float],
        dependencies: Sequence[str],
        environment: Environment,
        address: tuple[int, int],
        begin_s: float,
        end_s: float,
    ) -> None:
        """`address` is the seed and the replication; the others are those of `Conditions`."""
        self._errors = errors
        self._dependencies = dependencies
        self._environment = environment
        self._address = address
        self._span = begin_s, end_s
        self._limited = [code for code, manner in enumerate(environment.manners) if manner.only is not None]
        self._groups: dict[tuple[bool, ...], Conditions] = {}

    def of(self, whose: OpenRequest, request: Request) -> Conditions:
        """What this request meets."""
        block, place = whose.block, whose.place
        region = None if block.region is None else block.region[place]
        # A client who asks again does so from the same place.
        client = request.client or f"{block.request_class}#{block.index * BLOCK + place}"
        manners = self._environment.manners
        group = tuple(
            self._hits(manners[code], block.request_class, region, client) for code in self._limited
        )
        if group not in self._groups:
            spared = [code for code, hit in zip(self._limited, group, strict=True) if not hit]
            met = self._environment.select(~np.isin(self._environment.manner_codes(), spared))
            self._groups[group] = Conditions(self._errors, self._dependencies, met, *self._span)
        return self._groups[group]

    def _hits(self, manner: Manner, request_class: str, region: str | None, client: str) -> bool:
        only = manner.only
        assert only is not None
        if only.classes and request_class not in only.classes:
            return False
        if only.regions and region not in only.regions:
            return False
        return only.clients == 1 or self._uniform(manner.name, client) < only.clients

    def _uniform(self, *names: str) -> float:
        """What a client drew for a fault: a hash, because clients have names and no numbers."""
        text = "\x1f".join((*map(str, self._address), "clients", *names))
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=7).digest(), "little") / 2.0**56


def grey_conditions(
    errors: Mapping[str, float],
    dependencies: Sequence[str],
    environment: Environment,
    address: tuple[int, int],
    begin_s: float,
    end_s: float,
) -> GreyConditions | None:
    """The conditions by who asks; None where, as nearly always, they are the same for all."""
    if environment.manner is None:
        return None
    met = environment.between(begin_s, end_s)
    codes = [environment.components.index(name) for name in dependencies]
    met = met.select(np.isin(met.component, codes))
    if not any(environment.manners[code].only for code in np.unique(met.manner_codes()).tolist()):
        return None
    return GreyConditions(errors, dependencies, met, address, begin_s, end_s)
