"""A tiered client, as a team might have it in production: blocking code on the synchronous OpenAI client.

Requests go to the economy, standard or premium model by their complexity. A model is tried three times, with
a back-off of 2^n + 0.1 n seconds after the n-th failure, counted from 0; a premium request that fails goes to
the standard model, twice. Nothing here knows that it will be simulated, but for `simulated` at the end.

Underneath, the SDK makes two retries of its own for each of these attempts, unless it is told otherwise.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

import openai

GATEWAY = "https://gateway.example/v1"
KEY = "made-up-key"
MODELS = {"economy": "flash", "standard": "pro", "premium": "gpt-4o"}

ATTEMPTS = 3
FAILOVER_ATTEMPTS = 2


def tier_of(complexity: float) -> str:
    """A third of a uniform complexity for each tier."""
    if complexity < 1 / 3:
        return "economy"
    return "standard" if complexity < 2 / 3 else "premium"


def backoff_s(failures: int) -> float:
    """The pause after so many failures before."""
    return 2**failures + 0.1 * failures


@dataclass
class Answer:
    """A completion, and what happened on the way to it."""

    text: str
    model: str
    metadata: dict[str, str] = field(default_factory=dict)


class TieredClient:
    """As it is written: premium fails over to standard, and that is all."""

    def __init__(self, **options: object) -> None:
        self.failover = {"premium": "standard"}
        self.client = openai.OpenAI(base_url=GATEWAY, api_key=KEY, **options)

    def complete(self, messages: list[dict[str, str]], tier: str) -> Answer:
        """Raises what the last attempt raised."""
        try:
            return self.attempt(messages, tier, ATTEMPTS)
        except openai.OpenAIError:
            if tier not in self.failover:
                raise
        return self.attempt(messages, self.failover[tier], FAILOVER_ATTEMPTS)

    def attempt(self, messages: list[dict[str, str]], tier: str, attempts: int) -> Answer:
        for failures in range(attempts):
            try:
                return self.call(messages, tier)
            except openai.OpenAIError:
                if failures + 1 == attempts:
                    raise
                time.sleep(backoff_s(failures))
        raise AssertionError("no attempts")

    def call(self, messages: list[dict[str, str]], tier: str) -> Answer:
        completion = self.client.chat.completions.create(model=MODELS[tier], messages=messages)
        return Answer(completion.choices[0].message.content, completion.model)


class DescribedClient(TieredClient):
    """As it is described: whatever fails goes one tier down, with a note, and a rate limit makes a queue.

    Of those that meet the rate limit of a model, one at a time waits as long as it is told to and asks again.
    """

    def __init__(self, **options: object) -> None:
        super().__init__(**options)
        self.failover = {"premium": "standard", "standard": "economy"}
        self.queues = {tier: threading.Lock() for tier in MODELS}

    def complete(self, messages: list[dict[str, str]], tier: str) -> Answer:
        attempts, asked = ATTEMPTS, tier
        while True:
            try:
                answer = self.attempt(messages, tier, attempts)
            except openai.OpenAIError:
                if tier not in self.failover:
                    raise
                tier, attempts = self.failover[tier], FAILOVER_ATTEMPTS
            else:
                if tier != asked:
                    answer.metadata["degraded"] = f"{asked} answered by {tier}"
                return answer

    def call(self, messages: list[dict[str, str]], tier: str) -> Answer:
        try:
            return super().call(messages, tier)
        except openai.RateLimitError:
            with self.queues[tier]:
                while True:
                    try:
                        return super().call(messages, tier)
                    except openai.RateLimitError as error:
                        time.sleep(float(error.response.headers.get("retry-after", 1)))


def simulated(transport, *, kind=TieredClient, **options):
    """The policy: one client for all requests, which never looks at the transport."""
    client = kind(**options)

    def handle(request):
        tier = request.tier or tier_of(request.complexity)
        return client.complete(request.messages, tier)

    return handle


def described(transport, **options):
    """The policy of the client that is described."""
    return simulated(transport, kind=DescribedClient, **options)
