"""Quality: how good a deployment's answers are, by request class, so that degradation has a price.

deployments:
  gpt-4o: {quality: {default: 0.92, code: 0.95}}
  flash: {quality: 0.8}
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

from simsla.scenario.errors import Location, Problem
from simsla.scenario.fields import Frozen, refuse
from simsla.scenario.quantities import Share

if TYPE_CHECKING:
    from simsla.scenario.deployments import DeploymentSpec

__all__ = ["DEFAULT", "Quality", "classes_used", "scores", "untold"]

DEFAULT = "default"
"""In the place of a request class: all classes that have no score of their own."""


def as_default(value: object) -> object:
    return {DEFAULT: value} if isinstance(value, int | float) and not isinstance(value, bool) else value


def with_default(scores: Mapping[str, float]) -> Mapping[str, float]:
    if DEFAULT not in scores:
        raise refuse("a value (required: the score of classes without one)", below=DEFAULT)
    return scores


Quality = Annotated[
    Frozen[str, Share],
    BeforeValidator(as_default),
    AfterValidator(with_default),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "minimum": 0, "maximum": 1},
                {
                    "type": "object",
                    "additionalProperties": {"type": "number", "minimum": 0, "maximum": 1},
                    "required": [DEFAULT],
                },
            ],
            "description": "a score from 0 to 1, or scores by request class and `default`",
        }
    ),
]
"""Scores from 0 (useless) to 1 (as good as can be) by request class; a number alone is for all classes."""


def scores(
    deployments: Sequence[DeploymentSpec], request_classes: Sequence[str]
) -> tuple[tuple[float, ...], ...] | None:
    """The scores by deployment and request class; None where the scenario tells of none."""
    if any(spec.quality is None for spec in deployments):
        return None
    return tuple(
        tuple(spec.quality.get(name, spec.quality[DEFAULT]) for name in request_classes)
        for spec in deployments
        if spec.quality is not None
    )


def untold(deployments: Sequence[DeploymentSpec]) -> list[Problem]:
    """Deployments without a score beside others that have one."""
    without = [spec.name for spec in deployments if spec.quality is None]
    if len(without) == len(deployments):
        return []
    expected = "a value (required where other deployments have one)"
    return [Problem(("deployments", name, "quality"), expected) for name in without]


def classes_used(data: Mapping[str, Any]) -> Iterator[tuple[Location, object]]:
    """The places in plain data where a quality names a request class, and what stands there."""
    deployments = data.get("deployments")
    for name, spec in deployments.items() if isinstance(deployments, Mapping) else ():
        quality = spec.get("quality") if isinstance(spec, Mapping) else None
        for request_class in quality if isinstance(quality, Mapping) else ():
            if request_class != DEFAULT:
                yield ("deployments", name, "quality", request_class), request_class
