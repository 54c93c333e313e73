"""Which tier of service a request gets."""

from __future__ import annotations

from dataclasses import dataclass

from simsla.routing.config import Section, setting
from simsla.routing.errors import ConfigError


@dataclass(frozen=True)
class ComplexityCuts(Section):
    """The tier of a request that names none but carries a complexity in [0, 1]; below both cuts it is
    economy.
    """

    standard: float = setting(0.35, minimum=0.0, maximum=1.0)
    """The least complexity that gets the standard tier."""
    premium: float = setting(0.7, minimum=0.0, maximum=1.0)
    """The least complexity that gets the premium tier."""

    def verify(self) -> None:
        """The cuts ascend like the tiers."""
        if self.premium < self.standard:
            raise ConfigError("premium", self.premium, f"a number >= standard ({self.standard:g})")

    def tier(self, complexity: float) -> str:
        """The tier of this complexity."""
        if complexity >= self.premium:
            return "premium"
        return "standard" if complexity >= self.standard else "economy"
