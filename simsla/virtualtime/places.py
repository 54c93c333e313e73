"""Where in their own code somebody did something: the words that end an error's message."""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path
from types import FrameType
from typing import Final

_SIMSLA: Final = str(Path(__file__).parents[1])
_INSTALLED: Final = tuple(
    path for name in ("stdlib", "platstdlib", "purelib", "platlib") if (path := sysconfig.get_path(name))
)


def here(frame: FrameType | None = None) -> str:
    """Words such as ` at FILE:LINE in FUNCTION`: the innermost frame of code that is no library's.

    From `frame` outwards, by default the caller's. Where all are of libraries, the innermost that is not of
    simsla; empty where there is none.
    """
    frame = sys._getframe(1) if frame is None else frame
    of_library = None
    while frame is not None:
        file = frame.f_code.co_filename
        if not file.startswith((_SIMSLA, "<")):
            if not file.startswith(_INSTALLED):
                return _words(frame)
            of_library = of_library or frame
        frame = frame.f_back
    return "" if of_library is None else _words(of_library)


def _words(frame: FrameType) -> str:
    return f" at {frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_qualname}"
