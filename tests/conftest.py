"""Fixtures that more than one part of the tests uses."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Real data: SIMSLA_TEST_DATA, or ../shared/data beside the repository."""
    path = Path(os.environ.get("SIMSLA_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not path.is_dir():
        pytest.skip("no real data: set SIMSLA_TEST_DATA to the folder that holds azure/")
    return path


@pytest.fixture(scope="session")
def azure_conversation(data_dir: Path) -> Path:
    """The Azure LLM inference trace of 2023, conversations: 19,366 requests."""
    path = data_dir / "azure" / "AzureLLMInferenceTrace_conv.csv"
    if not path.is_file():
        pytest.skip(f"no {path.name} in the data folder")
    return path
