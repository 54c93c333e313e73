"""How a deployment may treat an attempt: the vocabulary of both arms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal[
    "answer",
    "stall",
    "hang",
    "cut",
    "malformed",
    "server_error",
    "unavailable",
    "rate_limited",
    "bad_request",
    "context_length",
    "content_filter",
    "unauthorized",
    "not_found",
    "refused",
    "unreachable",
]

TOKENS: Final = 64
"""The length of every answer, unless the request wants fewer."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What becomes of one attempt.

    ``after_s`` are the seconds to the first token or to the error, ``per_token_s`` those between two tokens;
    ``retry_after_s`` is sent with an error. Make others with `dataclasses.replace`.
    """

    kind: Kind
    after_s: float = 0.01
    per_token_s: float = 0.0005
    retry_after_s: float | None = None


OK: Final = Behaviour("answer")
SLOW_FIRST_TOKEN: Final = Behaviour("answer", after_s=3600.0)
"""It would answer after an hour."""
SLOW_STREAM: Final = Behaviour("answer", per_token_s=0.05)
"""Three seconds of tokens, none of them late."""
STALLED_STREAM: Final = Behaviour("stall")
"""A first token, and then none for hours. An answer that is not streamed never comes."""
HANG: Final = Behaviour("hang")
"""Accepted, never answered."""
CUT: Final = Behaviour("cut")
"""The connection breaks within the answer."""
MALFORMED: Final = Behaviour("malformed")
"""The answer, or its last part, is no JSON."""
SERVER_ERROR: Final = Behaviour("server_error")
UNAVAILABLE: Final = Behaviour("unavailable")
RATE_LIMITED: Final = Behaviour("rate_limited")
BAD_REQUEST: Final = Behaviour("bad_request")
CONTEXT_LENGTH: Final = Behaviour("context_length")
CONTENT_FILTER: Final = Behaviour("content_filter")
UNAUTHORIZED: Final = Behaviour("unauthorized")
"""A 401 whose text repeats the key."""
NOT_FOUND: Final = Behaviour("not_found")
REFUSED: Final = Behaviour("refused")
"""Nothing listens at its address. It must be all of a script, for an address does not change."""
UNREACHABLE: Final = Behaviour("unreachable")
"""No connection comes about, and nothing says so. It must be all of a script. Real sockets do so on Linux."""

WITHOUT_CONNECTION: Final = ("refused", "unreachable")

Scripts = Mapping[str, Sequence[Behaviour]]
"""What each deployment does with its attempts in turn; the last one stays."""


class Player:
    """Goes through scripts, and says which behaviour each next attempt meets."""

    def __init__(self, scripts: Scripts) -> None:
        for name, script in scripts.items():
            if not script:
                raise ValueError(f"the script of {name!r} is empty")
            if len(script) > 1 and any(behaviour.kind in WITHOUT_CONNECTION for behaviour in script):
                raise ValueError(f"the script of {name!r}: an address that answers does so for good")
        self.scripts = {name: tuple(script) for name, script in scripts.items()}
        self._next = dict.fromkeys(scripts, 0)

    def step(self, name: str) -> int:
        """The place in its script of the next attempt at this deployment."""
        at = self._next[name]
        self._next[name] = min(at + 1, len(self.scripts[name]) - 1)
        return at

    def play(self, name: str) -> Behaviour:
        """What the next attempt at this deployment meets."""
        return self.scripts[name][self.step(name)]
