"""Unmodified code as policies: it draws, reads clocks and asks over HTTP."""

from __future__ import annotations

import asyncio
import random
import secrets
import time
import uuid
from datetime import UTC, datetime

import httpx
import numpy as np

BODY = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
URL = "https://api.openai.com/v1/chat/completions"
KEY = {"authorization": "Bearer simulated-OPENAI_API_KEY"}


def lucky(transport):
    """Each request waits for a time that comes of every source of luck."""
    mine, numpys = random.Random(), np.random.default_rng()

    async def handle(request):
        await asyncio.sleep(
            random.random()
            + np.random.random()  # noqa: NPY002
            + mine.random()
            + numpys.random()
            + uuid.uuid4().int / 2**128
            + secrets.randbelow(1000) / 1000
        )
        return time.time(), datetime.now(UTC).isoformat()

    return handle


def over_http(transport):
    client = httpx.AsyncClient(timeout=30)

    async def handle(request):
        return (await client.post(URL, json=BODY, headers=KEY)).raise_for_status().json()

    return handle


def over_blocking_http(transport):
    client = httpx.Client(timeout=30)

    def handle(request):
        for _ in range(3):
            answer = client.post(URL, json=BODY, headers=KEY)
            if answer.status_code < 500:
                return answer.raise_for_status().json()
            time.sleep(1)
        return answer.raise_for_status()

    return handle


def retried_by_an_sdk(transport):
    """Every second call is a retry of the SDK's own, as its header tells."""
    client = httpx.AsyncClient(timeout=30)

    async def handle(request):
        for retry in range(2):
            await client.post(URL, json=BODY, headers=KEY | {"x-stainless-retry-count": str(retry)})
        return "an answer"

    return handle


def lost(transport):
    client = httpx.AsyncClient()

    async def handle(request):
        await client.post("https://api.opena.com/v1/chat/completions", json=BODY)

    return handle
