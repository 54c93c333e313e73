"""What is virtual remains so from run to run of a module, which then need not look for it each time."""

from __future__ import annotations

import pytest

from simsla.simulation import surroundings_held


@pytest.fixture(scope="module", autouse=True)
def _held():
    with surroundings_held():
        yield
