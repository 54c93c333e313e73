"""What a Router works with that no configuration can name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from simsla.routing.caching.backend import CacheBackend
from simsla.routing.classification.model import Score
from simsla.routing.router.sampling import Compare, Review


@dataclass(frozen=True)
class Backends:
    """Each is used only where the policy has the section that asks for it.

    ``cache`` keeps and finds answers; None is an index in memory. ``score`` rates a request for the
    classification by a threshold; None is its complexity. ``review`` takes the answers that people are to
    look at, ``compare`` an answer and that of the shadow; None only counts them. A backend that fails is
    counted in `Router.swallowed` and fails no request.
    """

    cache: CacheBackend[Any] | None = None
    score: Score | None = None
    review: Review | None = None
    compare: Compare | None = None
