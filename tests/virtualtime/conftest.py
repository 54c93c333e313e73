"""What the tests of virtual time share."""

import os
from pathlib import Path

import pytest

import simsla


@pytest.fixture
def child_environment() -> dict[str, str]:
    """The environment of a child process that imports the simsla under test, installed or not."""
    paths = [str(Path(simsla.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
