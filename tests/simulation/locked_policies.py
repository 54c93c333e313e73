"""Asyncio policies that hold what threads wait for while they await the world, in one place or another."""

from __future__ import annotations

import contextlib
import functools
import queue
import threading

from simsla.routing import Timeouts

MODULE_LOCK = threading.Lock()
LOCKS = {"by name": [threading.Lock()]}
AGAIN = threading.RLock()


class Gate:
    shared = threading.Semaphore(1)

    def __init__(self):
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def entered(self):
        with self._lock:
            yield


GATE = Gate()
TURNS = queue.Queue(maxsize=1)


@contextlib.contextmanager
def turn():
    TURNS.put("mine")
    yield
    TURNS.get()


def _holding(make):
    def factory(transport):
        async def handle(request):
            with make():
                return await transport.send(request, transport.deployments[0], timeouts=Timeouts())

        return handle

    return factory


def _of_a_closure():
    lock = threading.Lock()
    return _holding(lambda: lock)


def _of_a_partial(lock, transport):
    return _holding(lambda: lock)(transport)


HOLDING = {
    "a module": _holding(lambda: MODULE_LOCK),
    "a list in a dictionary": _holding(lambda: LOCKS["by name"][0]),
    "a class": _holding(lambda: Gate.shared),
    "an object": _holding(GATE.entered),
    "a queue": _holding(turn),
    "a closure": _of_a_closure(),
    "a partial": functools.partial(_of_a_partial, threading.Lock()),
}

reentrant = _holding(lambda: AGAIN)
