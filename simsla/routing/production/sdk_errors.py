"""What went wrong in an HTTP call, as one of our errors.

The openai SDK stands on httpx or, in later versions, on httpx2, and lets some of their errors through. Those
are recognised by the names of their classes, which the two libraries share.
"""

from __future__ import annotations

import email.utils
import math
import re
import time
from collections.abc import Mapping
from typing import Any, Final

from simsla.routing.errors import (
    AttemptError,
    AttemptTimeout,
    AuthenticationFailed,
    BadRequest,
    ConnectError,
    ContentFiltered,
    ContextLengthExceeded,
    MalformedReply,
    NotFound,
    RateLimited,
    ServerError,
    ServiceUnavailable,
    StreamInterrupted,
)
from simsla.routing.production.keys import Scrubber

_CLASS_OF_STATUS: Final[Mapping[int, type[AttemptError]]] = {
    401: AuthenticationFailed,
    402: AuthenticationFailed,
    403: AuthenticationFailed,
    404: NotFound,
    408: AttemptTimeout,
    409: ServerError,
    425: ServiceUnavailable,
    429: RateLimited,
    503: ServiceUnavailable,
    529: ServiceUnavailable,
}
"""402: the account of the key is empty. 409 and 425 pass with time, so they are no fault of the request. 529
is what some vendors answer when overloaded."""

_CONTEXT_LENGTH: Final = (
    "context_length",
    "context length",
    "context window",
    "maximum context",
    "prompt is too long",
    "input is too long",
    "string too long",
    "too many tokens",
)
_CONTENT_FILTER: Final = (
    "content_filter",
    "content_policy",
    "content policy",
    "content management policy",
    "responsibleaipolicyviolation",
    "safety system",
)

_STATUS: Final = re.compile("[45][0-9][0-9]")

# What is said in a code or a type within an answer of status 200.
_IN_BAND: Final[Mapping[str, type[AttemptError]]] = {
    "rate_limit": RateLimited,
    "overloaded": ServiceUnavailable,
    "unavailable": ServiceUnavailable,
    "authentication": AuthenticationFailed,
    "permission": AuthenticationFailed,
    "not_found": NotFound,
    "invalid_request": BadRequest,
    "badrequest": BadRequest,
}

_UNREADABLE: Final = {"DecodingError", "JSONDecodeError", "UnicodeDecodeError", "APIResponseValidationError"}
_NETWORK: Final = {"APIConnectionError", "TransportError", "StreamError", "OSError", "EndOfStream"}

_LONGEST_MESSAGE: Final = 300

# What headers say of limits on rate begins so.
_LIMITS: Final = "x-ratelimit-"


def of_status(
    status: int, body: object, headers: Mapping[str, str], deployment: str, scrub: Scrubber
) -> AttemptError:
    """The error of an answer with a 4xx or 5xx status. ``body`` is its ``error`` object, or any text."""
    described = _described(body)
    message = _message(described, headers, scrub)
    error = _CLASS_OF_STATUS.get(status)
    if error is None:
        error = ServerError if status >= 500 else BadRequest
    if error is BadRequest:
        error = _bad_request(described)
    failed = error(
        message, deployment=deployment, status=status, retry_after_s=retry_after_s(headers, time.time())
    )
    limits = {name.lower(): value for name, value in headers.items() if name.lower().startswith(_LIMITS)}
    failed.headers = limits or None
    return failed


def in_band(body: object, deployment: str, scrub: Scrubber) -> AttemptError:
    """The error that an answer of status 200 holds in place of a completion, or a stream among its chunks."""
    described = _described(body)
    status = _STATUS.fullmatch(str(described.get("code")))
    if status is not None:
        return of_status(int(status[0]), described, {}, deployment, scrub)
    said = f"{described.get('code')} {described.get('type')}".lower()
    error = next((error for word, error in _IN_BAND.items() if word in said), ServerError)
    refused = _bad_request(described)
    if refused is not BadRequest:
        error = refused
    return error(_message(described, {}, scrub), deployment=deployment)


def of_network(error: Exception, deployment: str, answering: bool) -> Exception:
    """The error of a call that broke down, or ``error`` itself where no network can be the cause.

    ``answering``: whether the server had begun to answer.
    """
    causes = _causes(error)
    names = {base.__name__ for cause in causes for base in type(cause).__mro__}
    if "ConnectTimeout" in names:
        return AttemptTimeout("no connection within its limit", phase="connect", deployment=deployment)
    if names & {"TimeoutException", "APITimeoutError"}:
        return AttemptTimeout("no answer within its limit", phase="total", deployment=deployment)
    if names & _UNREADABLE:
        return MalformedReply("the answer cannot be read", deployment=deployment)
    if not names & _NETWORK:
        return error
    what = type(causes[-1]).__name__
    if answering:
        return StreamInterrupted(f"the answer broke off ({what})", deployment=deployment)
    return ConnectError(what, deployment=deployment)


def retry_after_s(headers: Mapping[str, str], wall_s: float) -> float | None:
    """The server's wish in seconds: ``retry-after-ms``, or ``retry-after`` in seconds or as a date.

    ``wall_s`` is the time of day where the answer itself has no ``date``.
    """
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000.0
    wish = headers.get("retry-after")
    seconds = _number(wish)
    if seconds is not None or wish is None:
        return seconds
    when = _moment(wish)
    if when is None:
        return None
    date = _moment(headers.get("date", ""))
    return max(0.0, when - (wall_s if date is None else date))


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _moment(text: str) -> float | None:
    try:
        return email.utils.parsedate_to_datetime(text).timestamp()
    except (TypeError, ValueError):
        return None


def _described(body: object) -> Mapping[str, Any]:
    """The error object of a body: itself, under ``error``, or made of a text."""
    if isinstance(body, Mapping):
        inner = body.get("error", body)
        return inner if isinstance(inner, Mapping) else {"message": inner}
    return {} if body is None else {"message": body}


def _bad_request(described: Mapping[str, Any]) -> type[BadRequest]:
    said = " ".join(str(described.get(key)) for key in ("code", "type", "message")).lower()
    # Azure says why within.
    inner = described.get("innererror")
    if isinstance(inner, Mapping):
        said += f" {inner.get('code')}".lower()
    if any(word in said for word in _CONTEXT_LENGTH):
        return ContextLengthExceeded
    if any(word in said for word in _CONTENT_FILTER):
        return ContentFiltered
    return BadRequest


def _message(described: Mapping[str, Any], headers: Mapping[str, str], scrub: Scrubber) -> str:
    """What the server says, without keys and within bounds, and the number by which its support knows it."""
    text = " ".join(scrub(str(described.get("message") or described.get("code") or "")).split())
    if len(text) > _LONGEST_MESSAGE:
        text = f"{text[:_LONGEST_MESSAGE]}..."
    request_id = headers.get("x-request-id")
    return scrub(f"{text} [request {request_id}]".lstrip()) if request_id else text


def _causes(error: BaseException) -> list[BaseException]:
    """The error and what it was raised from, the outermost first."""
    causes: list[BaseException] = []
    found: BaseException | None = error
    while found is not None and found not in causes:
        causes.append(found)
        found = found.__cause__
    return causes
