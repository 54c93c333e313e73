"""The built-in words and phrases of the rules, in English."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from simsla.routing.config import FrozenMapping


def _listed(text: str) -> tuple[str, ...]:
    return tuple(each.strip() for each in text.split(","))


KEYWORDS: Final[Mapping[str, tuple[str, ...]]] = FrozenMapping(
    {
        "code": _listed(
            "algorithm, api, async, bash, bug, code, compile, compiler, debug, def, exception, function, git,"
            "html, java, javascript, json, kubernetes, python, query, refactor, regex, rust, schema, script,"
            "sql, stack trace, typescript, unit test"
        ),
        "reasoning": _listed(
            "step by step, chain of thought, explain why, show your work, reason about, think carefully,"
            "prove that, derive, compare and contrast, pros and cons, trade-offs, evaluate, justify, deduce"
        ),
        "technical": _listed(
            "architecture, authentication, bandwidth, cache, cluster, concurrency, consensus, cryptography,"
            "database, deployment, distributed, encryption, gpu, gradient, latency, memory, microservice,"
            "microservices, network, optimization, parallel, protocol, replication, scalable, sharding, tcp,"
            "throughput"
        ),
        "simple": _listed(
            "what is, what's, who is, who was, when is, when was, where is, how many, how much, define,"
            "translate, hello, hi, thanks, thank you, yes or no"
        ),
    }
)
"""By feature: a single word counts only as a whole word, a phrase wherever it stands."""
