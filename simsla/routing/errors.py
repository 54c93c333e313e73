"""Everything that can go wrong, as a tree.

Which class an error has says whose fault it is: `AttemptError` is one failed call to one deployment, its
`BadRequest` branch is the fault of the request itself, and the other `RoutingError` classes are the
router's own verdicts.
"""

# ruff: noqa: N818 - the name says what happened; "Error" would be said twenty times

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final

from simsla.routing.explanation import Explanation

if TYPE_CHECKING:
    from simsla.routing.progress import Progress


class RoutingError(Exception):
    """The root of every error that a transport or a router raises on purpose.

    A Router that explains leaves the request's ``progress``.
    """

    progress: Progress | None = None

    @property
    def explanation(self) -> Explanation | None:
        """The decisions that led to the error where a Router raised it and explains, else None."""
        return None if self.progress is None else Explanation(self.progress)


class AttemptError(RoutingError):
    """One attempt at one deployment failed.

    ``deployment`` is its name, ``status`` the HTTP status where there was one, ``retry_after_s`` the
    server's wish in seconds where it sent one, ``headers`` what it said of its limits (``x-ratelimit-*``),
    where it did. ``kind`` is the name used in configuration and logs.
    """

    kind: ClassVar[str] = "attempt"
    blames_request: ClassVar[bool] = False
    """True where the request itself is at fault, so that the failure says nothing about the deployment."""

    deployment: str | None = None
    status: int | None = None
    retry_after_s: float | None = None
    headers: Mapping[str, str] | None = None

    def __init__(
        self,
        message: str = "",
        *,
        deployment: str | None = None,
        status: int | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        if deployment is not None:
            self.deployment = deployment
        if status is not None:
            self.status = status
        if retry_after_s is not None:
            self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        where = f"{self.deployment}: " if self.deployment else ""
        status = f" ({self.status})" if self.status else ""
        message = f": {self.args[0]}" if self.args and self.args[0] else ""
        return f"{where}{self.kind}{status}{message}"


class ConnectError(AttemptError):
    """No connection came about: refused, unreachable, name not resolved."""

    kind = "connect"


class AttemptTimeout(AttemptError, TimeoutError):
    """A limit of `Timeouts` passed; ``phase`` says which: connect, first_token, idle or total."""

    kind = "timeout"
    phase: str = "total"

    def __init__(
        self,
        message: str = "",
        *,
        phase: str = "total",
        deployment: str | None = None,
        status: int | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message, deployment=deployment, status=status, retry_after_s=retry_after_s)
        self.phase = phase

    def __str__(self) -> str:
        return f"{super().__str__()} [{self.phase}]"


class RateLimited(AttemptError):
    """The deployment refused because of a rate or concurrency limit (429)."""

    kind = "rate_limited"
    status = 429


class ServerError(AttemptError):
    """The deployment failed (any 5xx)."""

    kind = "server_error"
    status = 500


class ServiceUnavailable(ServerError):
    """The deployment says that it is down or overloaded (503)."""

    kind = "unavailable"
    status = 503


class BadRequest(AttemptError):
    """The request can never succeed as it stands (400)."""

    kind = "bad_request"
    blames_request = True
    status = 400


class ContextLengthExceeded(BadRequest):
    """The request does not fit into the context window of this deployment (400)."""

    kind = "context_length"


class ContentFiltered(BadRequest):
    """A content policy refused the request (400)."""

    kind = "content_filter"


class AuthenticationFailed(AttemptError):
    """The key is missing, wrong or not allowed (401, 403)."""

    kind = "authentication"
    status = 401


class NotFound(AttemptError):
    """The deployment does not know the model or the address (404)."""

    kind = "not_found"
    status = 404


class StreamInterrupted(AttemptError):
    """A stream ended before its last chunk."""

    kind = "stream_interrupted"


class MalformedReply(AttemptError):
    """An answer came that could not be read."""

    kind = "malformed"


ATTEMPT_ERRORS: Final[dict[str, type[AttemptError]]] = {
    error.kind: error
    for error in (
        ConnectError,
        AttemptTimeout,
        RateLimited,
        ServerError,
        ServiceUnavailable,
        BadRequest,
        ContextLengthExceeded,
        ContentFiltered,
        AuthenticationFailed,
        NotFound,
        StreamInterrupted,
        MalformedReply,
    )
}
"""Every kind of failed attempt, by its ``kind``."""


class Shed(RoutingError):
    """The router refused the request to protect the others."""


class NoDeployment(RoutingError):
    """Nothing could be tried: no deployment serves the request, or none may be called now."""


class _AfterAttempts(RoutingError):
    """A verdict after failed attempts: ``errors`` holds them in order, the last one is the cause."""

    def __init__(self, errors: Iterable[AttemptError] = ()) -> None:
        self.errors = tuple(errors)
        super().__init__(self.errors)
        if self.errors:
            self.__cause__ = self.errors[-1]

    def __str__(self) -> str:
        attempts = "1 attempt" if len(self.errors) == 1 else f"{len(self.errors)} attempts"
        return f"{attempts} failed" + "".join(f"; {error}" for error in self.errors)


class AllAttemptsFailed(_AfterAttempts):
    """Every attempt that the policy allows has failed."""


class DeadlineExceeded(_AfterAttempts, TimeoutError):
    """The time of the whole request is used up."""

    def __str__(self) -> str:
        return f"deadline exceeded: {super().__str__()}"


class ConfigError(RoutingError, ValueError):
    """A value in a configuration is impossible.

    ``path`` leads to it (``routing.retry.max_attempts``), ``expected`` says in words what belongs there and
    ``suggestion`` is the nearest valid name, or None.
    """

    def __init__(self, path: str, value: Any, expected: str, suggestion: str | None = None) -> None:
        super().__init__(path, value, expected, suggestion)
        self.path = path
        self.value = value
        self.expected = expected
        self.suggestion = suggestion

    def under(self, path: str) -> ConfigError:
        """The same error, seen from an enclosing section."""
        joined = f"{path}.{self.path}" if self.path else path
        return ConfigError(joined, self.value, self.expected, self.suggestion)

    def __str__(self) -> str:
        hint = f"; did you mean {self.suggestion!r}?" if self.suggestion else ""
        got = repr(self.value)
        got = got if len(got) <= 100 else f"{got[:97]}..."
        return f"{self.path}: expected {self.expected}, got {got}{hint}"


def nearest(name: object, names: Iterable[str]) -> str | None:
    """The one of ``names`` that ``name`` was probably meant to be, or None."""
    matches = difflib.get_close_matches(str(name), list(names), n=1)
    return matches[0] if matches else None
