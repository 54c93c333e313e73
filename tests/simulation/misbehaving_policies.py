"""Policies that do what no simulation can allow."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import threading
import time
import urllib.request


def hangs_in_its_factory(transport):
    threading.Event().wait()


def raises_in_its_factory(transport):
    raise ValueError("no key for the gateway")


def computes_for_ever_in_its_factory(transport):
    while True:
        pass


def _after_ten(act):
    """A policy that does it for the eleventh request, and catches what comes of it."""

    def factory(transport):
        async def handle(request):
            count.append(request)
            if len(count) > 10:
                try:
                    act()
                except Exception:
                    return "nothing happened"
            await asyncio.sleep(0.25)
            return "an answer"

        count = []
        return handle

    return factory


def _spin():
    while True:
        pass


def _wait_for_the_clock():
    end = time.time() + 1
    while time.time() < end:
        pass


sleeps_for_real = _after_ten(lambda: time.sleep(1))
opens_a_socket = _after_ten(lambda: socket.create_connection(("198.51.100.7", 443), timeout=1))
fetches_with_the_standard_library = _after_ten(lambda: urllib.request.urlopen("http://example.com/"))
starts_a_process = _after_ten(lambda: subprocess.run(["true"], check=True))
starts_a_thread = _after_ten(lambda: threading.Thread(target=print).start())
computes_for_ever = _after_ten(_spin)
waits_for_the_clock = _after_ten(_wait_for_the_clock)


def connects_with_asyncio(transport):
    async def handle(request):
        await asyncio.sleep(1)
        try:
            await asyncio.open_connection("198.51.100.7", 443)
        except OSError:
            return "offline"
        except NotImplementedError:
            return "offline"

    return handle


def leaks_tasks(transport):
    async def for_ever():
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                continue

    async def handle(request):
        tasks.append(asyncio.ensure_future(for_ever()))

    tasks = []
    return handle
