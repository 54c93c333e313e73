"""Scenarios out of the configuration files of other routers. Pure: no code of theirs is needed or run."""

from simsla.scenario.importers import litellm
from simsla.scenario.importers.imported import Imported, Remark

__all__ = ["Imported", "Remark", "litellm"]
