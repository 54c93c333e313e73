"""The context in which HTTP clients are answered by a world."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final
from weakref import WeakKeyDictionary

from simsla.virtualtime.http.aiohttp_clients import aiohttp_patches
from simsla.virtualtime.http.exchange import HttpWorld
from simsla.virtualtime.http.here import HERE
from simsla.virtualtime.http.httpx_clients import httpx_patches
from simsla.virtualtime.http.patching import Patcher
from simsla.virtualtime.http.urllib3_clients import urllib3_patches

_PATCHER: Final = Patcher(
    {
        "httpx": httpx_patches,
        "httpx2": httpx_patches,
        "aiohttp": aiohttp_patches,
        "urllib3": urllib3_patches,
    }
)


@contextlib.contextmanager
def answered_by(world: HttpWorld) -> Iterator[None]:
    """Every HTTP client used in this thread meanwhile is answered by `world`, whoever made it, and when.

    Clients of httpx, httpx2, aiohttp, requests and urllib3, and whatever stands on them, such as the openai
    SDK; a library is patched where it is loaded, or as soon as it is. Blocking clients work inside a greenlet
    of `simsla.virtualtime.blocking`. Other threads keep the network. Contexts may be nested: the inner world
    answers. Everything is restored at the end, whatever happens.
    """
    before, pools = HERE.world, getattr(HERE, "pools", None)
    with _PATCHER:
        HERE.world, HERE.pools = world, WeakKeyDictionary()
        try:
            yield
        finally:
            HERE.world = before
            HERE.pools = WeakKeyDictionary() if pools is None else pools
