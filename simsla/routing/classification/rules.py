"""The tier of a request from the words of its prompt: no call, microseconds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from simsla.routing.classification.classifier import NO_VERDICT, Verdict
from simsla.routing.classification.keywords import KEYWORDS
from simsla.routing.config import FrozenMapping, Section, setting
from simsla.routing.errors import ConfigError
from simsla.routing.types import TIERS, Reply, Request

CLASSES: Final = ("simple", "medium", "complex", "reasoning")
FEATURES: Final = ("code", "reasoning", "technical", "tokens", "simple", "multistep", "question")

_WORD: Final = re.compile(r"\w+")
_STEP: Final = re.compile(r"\bstep \d|\b\d{1,3}[.)]\s")

_CHARACTERS_PER_TOKEN: Final = 4


class _Matches(NamedTuple):
    """How many keywords of a feature are few and many, and what none, few and many score."""

    few: int
    many: int
    scores: tuple[float, float, float]

    def score(self, matches: int) -> float:
        return self.scores[(matches >= self.few) + (matches >= self.many)]


_MATCHES: Final = {
    "code": _Matches(1, 2, (0.0, 0.5, 1.0)),
    "reasoning": _Matches(1, 2, (0.0, 0.7, 1.0)),
    "technical": _Matches(2, 4, (0.0, 0.5, 1.0)),
    "simple": _Matches(1, 2, (0.0, -1.0, -1.0)),
}


@dataclass(frozen=True)
class Rules(Section):
    """Seven weighted features of the prompt, after LiteLLM's complexity router.

    The score is the weighted sum of: "code", "technical" and "simple" words of the system's and the user's
    text, "reasoning" phrases of the user's, the length in "tokens" (-1 below ``short_tokens``, 1 above
    ``long_tokens``), "multistep" (a "first ... then" or numbered steps: 0.5) and "question" (more than three
    question marks: 0.5). Simple words score -1. Two reasoning phrases make the class "reasoning" whatever
    the score.

    A request with a complexity is left to it: whoever sent the hint knows more than its words tell.
    """

    kind = "rules"

    weights: Mapping[str, float] = setting(
        FrozenMapping(
            {
                "code": 0.30,
                "reasoning": 0.25,
                "technical": 0.25,
                "tokens": 0.10,
                "simple": 0.05,
                "multistep": 0.03,
                "question": 0.02,
            }
        ),
        keys=FEATURES,
        minimum=0.0,
    )
    """The weights of the features; one left out weighs nothing. LiteLLM's."""
    medium: float = setting(0.15)
    """The least score of the class "medium"; below it is "simple". LiteLLM's."""
    complex: float = setting(0.35)
    """The least score of the class "complex". LiteLLM's."""
    reasoning: float = setting(0.60)
    """The least score of the class "reasoning". LiteLLM's."""
    tiers: Mapping[str, str] = setting(
        FrozenMapping(
            {"simple": "economy", "medium": "standard", "complex": "premium", "reasoning": "premium"}
        ),
        keys=CLASSES,
        choices=TIERS,
    )
    """The tier of each class, all four of them. LiteLLM's default gives its two upper classes one model."""
    short_tokens: int = setting(15, minimum=0)
    """A prompt with fewer tokens, of four characters each, is short. LiteLLM's."""
    long_tokens: int = setting(400, minimum=1)
    """A prompt with more tokens is long. LiteLLM's."""
    keywords: Mapping[str, tuple[str, ...]] = setting(KEYWORDS, keys=tuple(_MATCHES))
    """Words and phrases by feature, in place of the built-in English ones; a feature left out has none."""

    def verify(self) -> None:
        """The cuts ascend, and each class has a tier."""
        if not self.medium <= self.complex <= self.reasoning:
            raise ConfigError("reasoning", self.reasoning, "cuts in the order medium <= complex <= reasoning")
        if self.short_tokens > self.long_tokens:
            raise ConfigError("long_tokens", self.long_tokens, f"at least short_tokens ({self.short_tokens})")
        for name in CLASSES:
            if name not in self.tiers:
                raise ConfigError(f"tiers.{name}", None, "a tier for each class")

    def build(self, score: object = None) -> Rules:
        """Itself: it keeps nothing, and needs no score."""
        return self

    @property
    def limit_s(self) -> None:
        """Nothing is waited for."""
        return

    def ask(self, request: Request) -> None:
        """No call is needed."""

    def read(self, request: Request, reply: Reply | None) -> Verdict:
        """The tier of the request's class."""
        if request.complexity is not None:
            return NO_VERDICT
        system = " ".join(
            content
            for message in request.messages
            if message.get("role") == "system" and isinstance(content := message.get("content"), str)
        )
        name, score = self.classify(request.prompt, system)
        return Verdict(self.tiers[name], f"{name} ({score:.3f})")

    def classify(self, prompt: str, system: str = "") -> tuple[str, float]:
        """The class of a prompt, and its score."""
        user, all_text = prompt.lower(), f"{system} {prompt}".lower()
        tokens = len(prompt) // _CHARACTERS_PER_TOKEN
        words = set(_WORD.findall(all_text))
        matches = {
            name: self._matches(name, user if name == "reasoning" else all_text, words) for name in _MATCHES
        }
        scores = {name: _MATCHES[name].score(count) for name, count in matches.items()}
        scores["tokens"] = (tokens > self.long_tokens) - (tokens < self.short_tokens)
        scores["multistep"] = 0.5 if _is_multistep(all_text) else 0.0
        scores["question"] = 0.5 if prompt.count("?") > 3 else 0.0
        score = sum(weight * scores[name] for name, weight in self.weights.items())
        if matches["reasoning"] >= 2 or score >= self.reasoning:
            return "reasoning", score
        if score >= self.complex:
            return "complex", score
        return ("medium" if score >= self.medium else "simple"), score

    def _matches(self, name: str, text: str, words: set[str]) -> int:
        """How many of the keywords are in the text: phrases anywhere, single words among ``words``."""
        return sum(
            keyword in words if _WORD.fullmatch(keyword) else keyword in text
            for keyword in map(str.lower, self.keywords.get(name, ()))
        )


def _is_multistep(text: str) -> bool:
    first = text.find("first")
    return (first >= 0 and text.find("then", first) >= 0) or _STEP.search(text) is not None
