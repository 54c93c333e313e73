"""Policies that stand on the libraries people use for retries and circuit breakers, blocking and asyncio.

All that the libraries keep is made when this module is imported, as it is in production: before any run.
"""

from __future__ import annotations

import asyncio
import threading
import time
from datetime import UTC, datetime, timedelta

import backoff
import openai
import purgatory
import pybreaker
import stamina
import tenacity

GATEWAY = "https://gateway.example/v1"
OPTIONS = {"base_url": GATEWAY, "api_key": "made-up-key", "max_retries": 0}


def ask(client, request):
    return client.chat.completions.create(model="m", messages=request.messages)


def with_client(call):
    """The policy of `call(client, request)`, blocking or asyncio, with a client of that kind."""

    def factory(transport):
        asynchronous = asyncio.iscoroutinefunction(call)
        client = (openai.AsyncOpenAI if asynchronous else openai.OpenAI)(**OPTIONS)
        if asynchronous:

            async def handle(request):
                return await call(client, request)
        else:

            def handle(request):
                return call(client, request)

        return handle

    return factory


# Retries: four attempts, with pauses of 1, 2 and 4 seconds

TENACITY = {
    "stop": tenacity.stop_after_attempt(4),
    "wait": tenacity.wait_exponential(),
    "retry": tenacity.retry_if_exception_type(openai.APIError),
    "reraise": True,
}
RETRYING = tenacity.Retrying(**TENACITY)
STAMINA = {"on": openai.APIError, "attempts": 4, "wait_initial": 1, "wait_jitter": 0, "timeout": None}
BACKOFF = {"max_tries": 4, "jitter": None}


@with_client
@tenacity.retry(**TENACITY)
def with_tenacity(client, request):
    return ask(client, request)


@with_client
@tenacity.retry(**TENACITY, sleep=tenacity.sleep_using_event(threading.Event()))
def with_tenacity_and_an_event(client, request):
    return ask(client, request)


@with_client
def with_one_tenacity_for_all(client, request):
    """The object keeps the state of its loop for each thread."""
    for attempt in RETRYING:
        with attempt:
            answer = ask(client, request)
    return answer


@with_client
@tenacity.retry(**TENACITY)
async def with_tenacity_asyncio(client, request):
    return await ask(client, request)


@with_client
@stamina.retry(**STAMINA)
def with_stamina(client, request):
    return ask(client, request)


@with_client
@stamina.retry(**STAMINA)
async def with_stamina_asyncio(client, request):
    return await ask(client, request)


@with_client
@backoff.on_exception(backoff.expo, openai.APIError, **BACKOFF)
def with_backoff(client, request):
    return ask(client, request)


@with_client
@backoff.on_exception(backoff.expo, openai.APIError, **BACKOFF)
async def with_backoff_asyncio(client, request):
    return await ask(client, request)


RETRIES = (
    with_tenacity,
    with_tenacity_and_an_event,
    with_one_tenacity_for_all,
    with_tenacity_asyncio,
    with_stamina,
    with_stamina_asyncio,
    with_backoff,
    with_backoff_asyncio,
)


# No new attempt after 10 s: the libraries read a clock for it.


@with_client
@tenacity.retry(stop=tenacity.stop_after_delay(10), wait=tenacity.wait_fixed(3), reraise=True)
def for_ten_seconds_with_tenacity(client, request):
    return ask(client, request)


@with_client
@stamina.retry(
    on=openai.APIError,
    attempts=None,
    timeout=timedelta(seconds=10),
    wait_initial=3,
    wait_max=3,
    wait_jitter=0,
)
def for_ten_seconds_with_stamina(client, request):
    return ask(client, request)


@with_client
@backoff.on_exception(backoff.constant, openai.APIError, interval=3, max_time=10, jitter=None)
def for_ten_seconds_with_backoff(client, request):
    return ask(client, request)


@with_client
def for_ten_seconds_by_hand(client, request):
    started, noted = time.monotonic(), datetime.now(UTC)
    while True:
        try:
            return ask(client, request)
        except openai.APIError:
            assert abs((datetime.now(UTC) - noted).total_seconds() - (time.monotonic() - started)) < 1e-3
            if time.monotonic() - started >= 9:
                raise
        time.sleep(3)


# Circuit breakers: open at the third failure in a row, for 30 seconds, and closed by a probe

BREAKERS = {"threshold": 3, "open_s": 30.0}


def with_pybreaker(transport):
    breaker = pybreaker.CircuitBreaker(fail_max=3, reset_timeout=30)
    return with_client(breaker(lambda client, request: ask(client, request)))(transport)


EARLY = pybreaker.CircuitBreaker(fail_max=3, reset_timeout=30)


def with_pybreaker_made_early(transport):
    EARLY.close()
    return with_client(lambda client, request: EARLY.call(ask, client, request))(transport)


def with_purgatory(transport):
    breakers = purgatory.SyncCircuitBreakerFactory(default_threshold=3, default_ttl=30)

    @breakers("gateway")
    def call(client, request):
        return ask(client, request)

    return with_client(call)(transport)


def with_purgatory_asyncio(transport):
    breakers = purgatory.AsyncCircuitBreakerFactory(default_threshold=3, default_ttl=30)

    async def call(client, request):
        async with await breakers.get_breaker("gateway"):
            return await ask(client, request)

    return with_client(call)(transport)


CIRCUIT_BREAKERS = (with_pybreaker, with_pybreaker_made_early, with_purgatory, with_purgatory_asyncio)
