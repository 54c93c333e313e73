"""Which world answers the HTTP clients of a thread."""

from __future__ import annotations

import threading
from typing import Any
from weakref import WeakKeyDictionary

from simsla.virtualtime.http.exchange import HttpWorld
from simsla.virtualtime.http.pool import Connections


class Here(threading.local):
    """What this thread's clients stand on; other threads keep the network."""

    world: HttpWorld | None = None
    pools: WeakKeyDictionary[Any, Connections]


HERE = Here()
