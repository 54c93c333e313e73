"""Requests that fail everywhere, every time."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from simsla.scenario.fields import Model
from simsla.scenario.quantities import Share

__all__ = ["Poison", "PoisonOrShare"]


class Poison(Model):
    """A share of a class's requests that no deployment can answer, whatever is tried.

        traffic:
          chat: {..., poison: 0.001}
          batch: {..., poison: {share: 0.001, status: 400}}

    Which ones is drawn by their numbers. Unless its connection is refused, every call for such a request, its
    classification included, is answered with the `status` after the deployment's `error_latency`. A 500 looks
    like a fault of the deployment and a 400 like the request's own. The requests do not count as valid.
    """

    share: Share
    status: Literal[400, 500] = 500


def share_alone(value: object) -> Any:
    return {"share": value} if isinstance(value, int | float) and not isinstance(value, bool) else value


PoisonOrShare = Annotated[
    Poison, BeforeValidator(share_alone, json_schema_input_type=Poison | Annotated[float, Field(ge=0, le=1)])
]
