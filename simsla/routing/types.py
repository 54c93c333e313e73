"""The words of the seam: what a router is asked, what it may ask, and what comes back."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from simsla.routing.errors import ConfigError, nearest
from simsla.routing.explanation import Explanation

if TYPE_CHECKING:
    from simsla.routing.progress import Progress

TIERS: Final = ("economy", "standard", "premium")
"""The tiers of service, cheapest first."""

RequestId = int | str
Message = Mapping[str, Any]


class Request:
    """One question to a policy.

    ``id`` names it in every log. ``tier`` (one of `TIERS`) is the tier asked for; where it is None,
    ``complexity`` (a hint in [0, 1]) chooses. ``deadline`` is an absolute time on the event loop's clock,
    in seconds, or None. ``prompt_tokens`` is the length of the prompt, ``max_tokens`` the most output
    tokens wanted. A larger ``priority`` matters more. ``messages`` is the chat form; without it a text of
    ``prompt_tokens`` words is made when asked for. ``needs`` are the capabilities without which a deployment
    cannot answer it, such as "vision", "tools" or "json". ``prefix_tokens`` are those of the
    answer that are there already, as a last message by the assistant to be continued; ``prompt_tokens``
    counts them, ``max_tokens`` does not.
    """

    __slots__ = (
        "_messages",
        "client",
        "complexity",
        "deadline",
        "id",
        "max_tokens",
        "needs",
        "parent_id",
        "prefix_tokens",
        "priority",
        "prompt_tokens",
        "purpose",
        "region",
        "request_class",
        "session",
        "stream",
        "tier",
        "topic",
    )

    def __init__(
        self,
        id: RequestId,  # noqa: A002 - the attribute's name
        *,
        prompt_tokens: int = 0,
        max_tokens: int | None = None,
        request_class: str = "default",
        purpose: str = "answer",
        parent_id: RequestId | None = None,
        tier: str | None = None,
        complexity: float | None = None,
        deadline: float | None = None,
        priority: int = 0,
        stream: bool = False,
        client: str | None = None,
        region: str | None = None,
        session: str | None = None,
        topic: str | None = None,
        messages: Sequence[Message] | None = None,
        needs: tuple[str, ...] = (),
        prefix_tokens: int = 0,
    ) -> None:
        self.id = id
        self.prompt_tokens = prompt_tokens
        if messages is not None and not prompt_tokens:
            self.prompt_tokens = _estimated_tokens(messages)
        self.max_tokens = max_tokens
        self.request_class = request_class
        self.purpose = purpose
        self.parent_id = parent_id
        self.tier = tier
        self.complexity = complexity
        self.deadline = deadline
        self.priority = priority
        self.stream = stream
        self.client = client
        self.region = region
        self.session = session
        self.topic = topic
        self._messages = messages
        self.needs = needs
        self.prefix_tokens = prefix_tokens

    @property
    def messages(self) -> Sequence[Message]:
        """The chat form of the request."""
        if self._messages is not None:
            return self._messages
        return [{"role": "user", "content": self.prompt}]

    @property
    def prompt(self) -> str:
        """The text of the last user message, or ``prompt_tokens`` synthetic words."""
        if self._messages is None:
            return " ".join(["word"] * self.prompt_tokens)
        for message in reversed(self._messages):
            if message.get("role") == "user":
                return _text_of(message.get("content"))
        return ""

    @property
    def given_messages(self) -> Sequence[Message] | None:
        """The messages that came with it; None where its text is synthetic."""
        return self._messages

    def replace(self, **changes: Any) -> Request:
        """The same request, its id included, with other values of these attributes."""
        other = copy.copy(self)
        for name, value in changes.items():
            setattr(other, name, value)
        return other

    def derive(self, *, purpose: str, **changes: Any) -> Request:
        """A subordinate call of this request, such as its classification.

        Its parent is the root request, whose id with the purpose appended is its own id. Everything else is
        inherited unless given in ``changes``, which takes the arguments of `Request`.
        """
        root = self.id if self.parent_id is None else self.parent_id
        inherited = {name: getattr(self, name) for name in Request.__slots__ if name != "_messages"}
        inherited["messages"] = self._messages
        inherited |= {"id": f"{root}/{purpose}", "parent_id": root, "purpose": purpose}
        return Request(**(inherited | changes))

    def __repr__(self) -> str:
        asked = self.tier or (f"complexity {self.complexity:g}" if self.complexity is not None else "no tier")
        needs = f", needs {', '.join(self.needs)}" if self.needs else ""
        return (
            f"<Request {self.id!r} {self.request_class}/{self.purpose}, {self.prompt_tokens} tokens, "
            f"{asked}{needs}>"
        )


def _estimated_tokens(messages: Sequence[Message]) -> int:
    """At four characters a token, the rule of thumb for English."""
    characters = sum(len(_text_of(message.get("content"))) for message in messages)
    return max(1, characters // 4)


def _text_of(content: Any) -> str:
    """The text of a message, whose content is a string or a list of typed parts."""
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content or () if part.get("type") == "text")


class Reply:
    """One answer.

    ``deployment`` is the name of what answered; ``first_token_s`` and ``total_s`` are seconds from sending
    to the first token and to the end. ``metadata`` is None unless somebody had something to say. A Router
    that explains leaves the request's ``progress``.
    """

    __slots__ = (
        "deployment",
        "finish_reason",
        "first_token_s",
        "metadata",
        "model",
        "progress",
        "text",
        "tokens_in",
        "tokens_out",
        "total_s",
    )

    def __init__(
        self,
        text: str,
        deployment: str,
        model: str,
        tokens_in: int,
        tokens_out: int,
        first_token_s: float,
        total_s: float,
        finish_reason: str = "stop",
        metadata: dict[str, Any] | None = None,
    ) -> None:
        self.text = text
        self.deployment = deployment
        self.model = model
        self.tokens_in = tokens_in
        self.tokens_out = tokens_out
        self.first_token_s = first_token_s
        self.total_s = total_s
        self.finish_reason = finish_reason
        self.metadata = metadata
        self.progress: Progress | None = None

    @property
    def explanation(self) -> Explanation | None:
        """The decisions behind the reply where a Router made it and explains, else None."""
        return None if self.progress is None else Explanation(self.progress, self)

    def __repr__(self) -> str:
        note = f", {self.metadata}" if self.metadata else ""
        return (
            f"<Reply from {self.deployment} ({self.model}), {self.tokens_in} tokens in, "
            f"{self.tokens_out} out, first token {self.first_token_s:.3f} s, "
            f"total {self.total_s:.3f} s, {self.finish_reason}{note}>"
        )


class Chunk:
    """A piece of a streamed answer; the last one carries the ``finish_reason``."""

    __slots__ = ("finish_reason", "text", "tokens")

    def __init__(self, text: str, tokens: int, finish_reason: str | None = None) -> None:
        self.text = text
        self.tokens = tokens
        self.finish_reason = finish_reason

    def __repr__(self) -> str:
        end = f", {self.finish_reason}" if self.finish_reason else ""
        return f"<Chunk {self.tokens} tokens {self.text!r}{end}>"


@dataclass(frozen=True, slots=True)
class Deployment:
    """One model served at one place.

    ``api_key_env`` is the *name* of an environment variable, never a key. Prices are USD per million tokens,
    ``context_window`` is in tokens, ``components`` names what must be up for it to be up. ``capabilities``
    is all that it can do beyond plain text, in the words of ``Request.needs``.
    """

    name: str
    model: str
    provider: str | None = None
    region: str | None = None
    tier: str = "standard"
    base_url: str | None = None
    api_key_env: str | None = None
    usd_per_mtok_in: float = 0.0
    usd_per_mtok_out: float = 0.0
    context_window: int | None = None
    max_concurrency: int | None = None
    components: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()

    def cost_usd(self, tokens_in: int, tokens_out: int) -> float:
        """The price of so many tokens, in USD."""
        return (tokens_in * self.usd_per_mtok_in + tokens_out * self.usd_per_mtok_out) / 1e6

    def __post_init__(self) -> None:
        if self.tier not in TIERS:
            expected = f"one of {', '.join(TIERS)}"
            raise ConfigError(f"{self.name}.tier", self.tier, expected, nearest(self.tier, TIERS))


@dataclass(frozen=True, slots=True)
class Timeouts:
    """The limits of one attempt, in seconds, kept by the transport.

    ``connect_s`` to the connection, ``first_token_s`` from sending to the first token, ``idle_s`` between
    two tokens, ``total_s`` from sending to the end; None is no limit. `Transport.send` keeps ``connect_s``
    and ``total_s``, because the tokens of an unstreamed reply are not seen arriving; `Transport.stream`
    keeps all four.
    """

    connect_s: float | None = None
    first_token_s: float | None = None
    idle_s: float | None = None
    total_s: float | None = None
