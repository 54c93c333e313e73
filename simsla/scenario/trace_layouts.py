"""Which columns of a trace hold what, and in which unit its times are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

__all__ = ["AZURE", "LAYOUTS", "Layout", "TimeUnit", "layout_of"]

TimeUnit = Literal["iso", "s", "ms"]


class Layout(NamedTuple):
    """The names of the columns, found in any order and among others."""

    time: str
    prompt: str
    output: str
    unit: TimeUnit
    """`iso`: dates and times; else seconds or milliseconds since any moment."""
    zero_is_failure: bool = False
    """Whether an output of no tokens means that the request failed in the traced service."""

    @property
    def columns(self) -> tuple[str, str, str]:
        """The three names."""
        return self.time, self.prompt, self.output


AZURE: Final = Layout("TIMESTAMP", "ContextTokens", "GeneratedTokens", "iso")
"""Azure LLM inference 2023 and 2024, and 2025 (multimodal) with NumImages besides."""

LAYOUTS: Final = (
    AZURE,
    # BurstGPT 1 and 2, and 3 with Session ID and Elapsed time besides.
    Layout("Timestamp", "Request tokens", "Response tokens", "s", zero_is_failure=True),
    # Mooncake, with hash_ids besides.
    Layout("timestamp", "input_length", "output_length", "ms"),
)
"""The layouts of published traces."""


def layout_of(header: Sequence[str]) -> Layout:
    """The layout most of whose columns are there; the first one if none is."""
    return max(LAYOUTS, key=lambda layout: sum(column in header for column in layout.columns))
