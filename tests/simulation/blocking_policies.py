"""Blocking policies on the transport."""

from __future__ import annotations

import threading

from simulation.policies import TIGHT

from simsla.routing import AttemptError, Timeouts
from simsla.virtualtime.blocking import sleep, wait


def naive(transport, timeouts=TIGHT):
    """The ten-line router of `policies`, as blocking code."""

    def handle(request):
        for deployment in transport.deployments:
            try:
                return wait(transport.send(request, deployment, timeouts=timeouts))
            except AttemptError as error:
                last = error
        raise last

    return handle


def careful(transport):
    """Pauses before every attempt, and is slow to give up when it is cancelled."""

    def handle(request):
        try:
            sleep(request.id % 5)
            return wait(transport.send(request, transport.deployments[0], timeouts=Timeouts()))
        finally:
            sleep(1)

    return handle


def forgetful(transport):
    """Takes its lock for ever at the third request."""
    lock, asked = threading.Lock(), []

    def handle(request):
        asked.append(request)
        number = len(asked)
        lock.acquire()
        reply = wait(transport.send(request, transport.deployments[0], timeouts=Timeouts()))
        if number != 3:
            lock.release()
        return reply

    return handle


class AsObject:
    """A handle that is an object."""

    def __init__(self, transport):
        self.handle = naive(transport)

    def __call__(self, request):
        return self.handle(request)
